"""Answers about a run, from tables alone."""

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.notebook import questions

nan = float("nan")
COMPARISON = pd.DataFrame(
    [
        ("FPN", "DC5", "all", "AP_L", 0.5, 0.4, -0.1, low, high, source, 3)
        for source, low, high in (
            ("images", -0.12, -0.08), ("seeds", -0.3, 0.1), ("both", -0.15, -0.05),
        )
    ]
    + [("FPN", "DC5", "0", "AP_L", 0.5, 0.41, -0.09, -0.1, -0.08, "images", 1)],
    columns=["variant", "baseline", "seed", "metric", "a", "b", "difference", "low", "high",
             "source", "n_seeds"],
)  # fmt: skip


def test_differences_are_over_all_seeds_in_points_and_either_way_round() -> None:
    (there,) = questions.differences(COMPARISON, "DC5", "FPN").to_dict("records")
    assert there["difference"] == pytest.approx(-10)
    assert (there["low"], there["high"]) == pytest.approx((-15, -5))
    assert (there["source"], there["seeds"]) == ("images and seeds", 3)
    (back,) = questions.differences(COMPARISON, "FPN", "DC5").to_dict("records")
    assert (back["a"], back["b"]) == pytest.approx((40, 50))
    assert (back["low"], back["high"]) == pytest.approx((5, 15))
    text = questions.differences_as_text(
        questions.differences(COMPARISON, "DC5", "FPN"), a="DC5", b="FPN"
    )
    assert "3 seeds; 95 % intervals over images and seeds" in text and "-15.0" in text
    found = questions.differences_as_json(questions.differences(COMPARISON, "DC5", "FPN"))
    assert found["AP_L"]["seeds"] == 3


def test_sizes_have_their_bounds_in_a_notebook() -> None:
    run = fpnprobe.open(Path(__file__).parents[3] / "reports" / "quickstart")
    named = run.compare("DC5", "FPN").set_index("metric")["named"]
    assert named["AP_L"] == "AP_L (≥72 px)" and named["AP"] == "AP"
    page = run._repr_html_()
    assert "AP_S (&lt;24 px)" in page and "32.1" in page
    photographs = fpnprobe.open(Path(__file__).parents[3] / "reports" / "coco_mini")
    assert "named" not in photographs.compare("DC5", "FPN")


def test_a_variant_that_was_not_compared() -> None:
    with pytest.raises(FpnProbeError, match="did you mean FPN"):
        questions.differences(COMPARISON, "DC5", "FPM")
    with pytest.raises(FpnProbeError, match="no stored comparison"):
        questions.differences(None, "DC5", "FPN")


def test_what_rests_most_on_a_level() -> None:
    rows = [
        {"variant": "FPN", "seed": 0, "image_id": i, "object": 0, "kind": kind, "bucket": bucket,
         "level": "P2", "share": i / 20, "label": "ring", "score": 0.9, "x": 1.0, "y": 2.0,
         "width": 9.0, "height": 9.0, "assigned_level": "P2"}
        for i in range(15)
        for kind, bucket in (("detection", "large"), ("detection", "small"), ("object", "large"))
    ]  # fmt: skip
    found = questions.resting_on(pd.DataFrame(rows), "P2", bucket="large", top=10)
    assert list(found["image_id"]) == list(range(14, 4, -1))
    assert set(found["kind"]) == {"detection"}
    assert {"number", "label", "score", "x", "width", "share"} <= set(found.columns)
    with pytest.raises(FpnProbeError, match="expected one of P2"):
        questions.resting_on(pd.DataFrame(rows), "P9", bucket="large", top=10)


def test_detections_are_numbered_from_the_most_confident(tmp_path: Path) -> None:
    folder = tmp_path / "cells" / "fpn" / "seed-0"
    folder.mkdir(parents=True)
    manifest = {"study": "s", "variant": "FPN", "seed": 0, "state": "done", "classes": ["a", "b"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = [
        {"image_id": 1, "category_id": 2, "bbox": [0, 0, 3, 4], "score": 0.2},
        {"image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 4], "score": 0.7},
    ]
    with gzip.open(folder / "detections.json.gz", "wt") as file:
        json.dump(rows, file)
    found = fpnprobe.open(folder).detections
    assert found[["detection", "label", "score", "x"]].to_numpy().tolist() == [
        [0, "a", 0.7, 1], [1, "b", 0.2, 0],
    ]  # fmt: skip


def test_tab_completes_the_public_names() -> None:
    assert {"open", "watch", "Ledger", "compare"} <= set(dir(fpnprobe))
