"""Answers about a run, from tables alone."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.notebook import questions


def test_sizes_have_their_bounds_in_a_notebook() -> None:
    run = fpnprobe.open(Path(__file__).parents[3] / "reports" / "quickstart")
    named = run.compare("DC5", "FPN").set_index("metric")["named"]
    assert named["AP_L"] == "AP_L (≥72 px)" and named["AP"] == "AP"
    page = run._repr_html_()
    assert "AP_S (&lt;24 px)" in page and "32.1" in page
    photographs = fpnprobe.open(Path(__file__).parents[3] / "reports" / "coco_mini")
    assert "named" not in photographs.compare("DC5", "FPN")


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
    assert set(found["level"]) == {"P2"} and set(found["bucket"]) == {"large"}
    with pytest.raises(FpnProbeError, match="expected one of P2"):
        questions.resting_on(pd.DataFrame(rows), "P9", bucket="large", top=10)


def test_detections_are_numbered_from_the_most_confident(tmp_path: Path) -> None:
    folder = tmp_path / "cells" / "fpn" / "seed-0"
    folder.mkdir(parents=True)
    manifest = {"study": "s", "variant": "FPN", "seed": 0, "state": "done"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = [
        {"image_id": 1, "category_id": 2, "bbox": [0, 0, 3, 4], "score": 0.2},
        {"image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 4], "score": 0.7},
    ]
    with gzip.open(folder / "detections.json.gz", "wt") as file:
        json.dump(rows, file)
    found = fpnprobe.open(folder).detections
    assert found[["detection", "score", "x"]].to_numpy().tolist() == [[0, 0.7, 1], [1, 0.2, 0]]


@pytest.mark.parametrize(
    ("told", "labels"),
    [
        ({"category_ids": [17, 18, 2]}, ["dog", "bike", "1"]),
        ({}, ["18", "2", "1"]),
        ({"category_ids": [None, "18"]}, ["18", "2", "1"]),
        ({"config": {"data": {"scenes": {"seed": 0}}}}, ["18", "dog", "cat"]),
    ],
)
def test_labels_are_looked_up_by_category_id(
    told: dict[str, Any], labels: list[str], tmp_path: Path
) -> None:
    """COCO's ids have gaps; a cell that does not say which ids it has shows the number."""
    manifest = {"variant": "FPN", "seed": 0, "state": "done", "classes": ["cat", "dog", "bike"]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | told))
    rows = [
        {"image_id": 1, "category_id": number, "bbox": [0, 0, 3, 4], "score": score}
        for number, score in ((18, 0.9), (2, 0.8), (1, 0.7))
    ]
    with gzip.open(tmp_path / "detections.json.gz", "wt") as file:
        json.dump(rows, file)
    assert fpnprobe.open(tmp_path).detections["label"].to_list() == labels


def test_tab_completes_the_public_names() -> None:
    assert {"open", "watch", "Ledger", "compare"} <= set(dir(fpnprobe))
