"""Claims: the paper's numbers read right, and verdicts by the written rule."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence import build, claims, explanations, published, published_claims
from fpnprobe.evidence.claims import Claim
from tests.unit.evidence.study_folder import write_study


def comparison(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "evidence").mkdir(exist_ok=True)
    base = {"seed": "all", "n_seeds": 3}
    frame = pd.DataFrame([{**base, **row, "source": s} for row in rows for s in ("images", "both")])
    frame.to_parquet(folder / "evidence" / "comparison.parquet")


def study(tmp_path: Path, *variants: str, **content: Any) -> Path:
    return write_study(tmp_path / "s", dict.fromkeys(variants, 0.5), seeds=[], **content)


def difference(variant: str, baseline: str, metric: str, low: float, high: float) -> dict[str, Any]:
    return {
        "variant": variant, "baseline": baseline, "metric": metric, "low": low, "high": high,
        "difference": (low + high) / 2,
    }  # fmt: skip


def one(found: list[Claim], *, source: str, **wanted: Any) -> Claim:
    """The claim that is printed in a place."""
    fits = [
        c
        for c in found
        if source in {each["source"] for each in c.printed}
        and all(getattr(c, k) == v for k, v in wanted.items())
    ]
    assert len(fits) == 1, fits
    return fits[0]


def test_the_copy_is_the_papers() -> None:
    assert published.numbers()["about"]["unit"].startswith("percent")


@pytest.mark.parametrize(
    ("wanted", "paper"),
    [
        ({"source": "Figure 1", "metric": "AP_L"}, -1.1),
        ({"source": "Figure 3", "variant": "FPN", "metric": "AP_S"}, 3.0),
        ({"source": "Figure 3", "variant": "DC5-Aux", "metric": "AP_M"}, 0.7),
        (
            {"source": "Table 1", "detector": "RetinaNet", "variant": "FPN-AuxU", "metric": "AP"},
            1.6,
        ),
        ({"source": "Table 3", "detector": "ATSS", "metric": "AP_L"}, 3.9),
        ({"source": "Table 4", "backbone": "Swin-T", "metric": "AP"}, 2.1),
    ],
)
def test_differences_are_the_papers(wanted: dict[str, Any], paper: float) -> None:
    fits = [
        c for c in published_claims.claims() if all(getattr(c, k) == v for k, v in wanted.items())
    ]
    assert [c.paper for c in fits] == [paper]


def test_only_numbers_of_one_table_are_compared() -> None:
    """The paper has two FPN baselines of Faster R-CNN: 39.5 AP, and the zoo's 39.4 in Table 3."""
    gains = [
        (c.baseline_name, c.paper)
        for c in published_claims.claims()
        if (c.detector, c.variant, c.metric) == ("Faster R-CNN", "FPN-CFG3", "AP")
    ]
    assert gains == [("FPN 39.5 AP, Table 2", 2.7), ("FPN 39.4 AP, Table 3", 2.8)]
    assert not [c for c in published_claims.claims() if " against " in c.source]


def test_one_measurement_has_one_claim() -> None:
    groups = claims.group_claims()
    places = [
        (g[0].detector, published.backbone_kin(g[0].backbone), g[0].variant, g[0].baseline,
         g[0].metric, g[0].iou_type)
        for g in groups
    ]  # fmt: skip
    assert len(set(places)) == len(places)
    assert sum(map(len, groups)) == len(published_claims.claims())
    sources = {
        tuple(c.source for c in g)
        for g in groups
        if (g[0].variant, g[0].baseline, g[0].metric) == ("FPN", "DC5", "AP_L")
    }
    assert sources == {("Figure 1", "Figure 3")}


def test_gains_of_table_3_are_those_printed() -> None:
    printed = published.numbers()["table3"]["gains_printed"]
    rows = published.numbers()["table3"]["rows"]
    found = [round(row["cfg"]["AP"] - row["baseline"]["AP"], 1) for row in rows]
    assert found == printed


def test_nothing_that_was_not_published_is_claimed() -> None:
    lost = [c for c in published_claims.claims() if c.detector == "FCOS" and c.metric == "AP_S"]
    assert lost == []
    assert not [c for c in published_claims.claims() if np.isnan(c.paper)]


@pytest.mark.parametrize(
    ("name", "detector"),
    [
        ("faster_rcnn", "Faster R-CNN"),
        ("cascade_rcnn", "Cascade R-CNN"),
        (
            "configs/cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_ms-3x_coco.py",
            "Cascade Mask R-CNN",
        ),
        ("freeanchor_r101_fpn_1x_coco", "FreeAnchor"),
        ("sparse-rcnn_r50_fpn_1x_coco", "Sparse R-CNN"),
        ("yolov3", ""),
    ],
)
def test_detectors_by_name(name: str, detector: str) -> None:
    assert published.detector_name(name) == detector


def test_a_claim_meets_its_own_backbone(tmp_path: Path) -> None:
    """Table 3 has Mask R-CNN twice, with ResNet-101 and with Swin-T."""
    folder = study(
        tmp_path, "FPN", "FPN-CFG3", detector={"config": "mask-rcnn_swin-t-p4-w7_fpn_1x_coco"}
    )
    comparison(folder, [difference("FPN-CFG3", "FPN", "AP", 0.01, 0.02)])
    found = [c for c in claims.judge(folder) if c.iou_type == "bbox" and c.metric == "AP"]
    masks = {c.backbone: c for c in found if c.detector == "Mask R-CNN"}
    assert masks["Swin-T"].verdict == "reproduced"
    assert masks["ResNet-101"].verdict == "not run"
    assert "about ResNet-101" in masks["ResNet-101"].note


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.04, -0.01, "reproduced"), (0.01, 0.04, "contradicted"), (-0.02, 0.01, "undecided")],
)
def test_verdicts_on_a_loss_of_ap(tmp_path: Path, low: float, high: float, expected: str) -> None:
    folder = study(tmp_path, "DC5", "FPN")
    comparison(folder, [difference("FPN", "DC5", "AP_L", low, high)])
    found = one(claims.judge(folder), source="Figure 1", metric="AP_L")
    assert (found.verdict, found.covers, found.seeds) == (expected, "both", 3)
    assert (found.low, found.high) == pytest.approx((100 * low, 100 * high))
    assert [each["paper"] for each in found.printed] == [-1.1, -1.7]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.004, 0.003, "reproduced"),
        (0.001, 0.004, "reproduced"),
        (0.006, 0.02, "contradicted"),
        (-0.02, -0.006, "contradicted"),
        (0.001, 0.006, "undecided"),  # a difference of 0.3 points counts as none
        (-0.01, 0.01, "undecided"),
    ],
)
def test_verdicts_on_no_change(tmp_path: Path, low: float, high: float, expected: str) -> None:
    folder = study(tmp_path, "FPN", "FPN-Aux")
    comparison(folder, [difference("FPN-Aux", "FPN", "AP", low, high)])
    found = one(claims.judge(folder), source="Figure 3", metric="AP", variant="FPN-Aux")
    assert {each["paper"] for each in found.printed} == {0.0}
    assert found.verdict == expected


def test_a_study_in_the_other_order_is_turned(tmp_path: Path) -> None:
    folder = study(tmp_path, "FPN", "DC5")
    comparison(folder, [difference("DC5", "FPN", "AP_S", -0.05, -0.03)])
    found = one(claims.judge(folder), source="Figure 1", metric="AP_S")
    assert (found.measured, found.low, found.high) == pytest.approx((4, 3, 5))
    assert found.verdict == "reproduced"


def test_one_seed_is_undecided_and_says_why(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", {"DC5": 0.2, "FPN": 0.9}, seeds=[0], images=40)
    build.build(folder, resamples=50)
    found = one(claims.judge(folder), source="Figure 1", metric="AP_S")
    assert found.low > 0
    assert (found.verdict, found.covers) == ("undecided", "images")
    assert "one seed" in found.note


def test_measured_from_the_stored_tables(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", {"DC5": 0.2, "FPN": 0.9}, images=80)
    build.build(folder, resamples=100)
    found = claims.judge(folder)
    small, large = (one(found, source="Figure 1", metric=m) for m in ("AP_S", "AP_L"))
    assert small.verdict == "reproduced"
    assert large.verdict == "contradicted"


def test_what_was_not_run_says_why_and_comes_last(tmp_path: Path) -> None:
    folder = study(tmp_path, "DC5", "FPN")
    comparison(folder, [difference("FPN", "DC5", "AP_L", -0.2, -0.1)])
    found = claims.judge(folder)
    verdicts = [c.verdict for c in found]
    assert verdicts == sorted(verdicts, key=lambda v: v == "not run")
    notes = Counter(c.note for c in found if c.verdict == "not run")
    assert notes["the study has no FPN-Aux"] == 4
    assert notes["the study's detector is faster_rcnn"] > 20
    assert len(found) == len(claims.group_claims())


def test_box_claims_are_not_judged_by_masks(tmp_path: Path) -> None:
    folder = study(
        tmp_path, "FPN", "FPN-CFG3", detector={"config": "mask-rcnn_r101_fpn_1x_coco"},
        evaluation={"iou_type": "segm"},
    )  # fmt: skip
    comparison(folder, [difference("FPN-CFG3", "FPN", "AP_L", 0.01, 0.02)])
    found = [c for c in claims.judge(folder) if c.metric == "AP_L" and c.verdict != "not run"]
    assert {each["source"] for c in found for each in c.printed} == {"Table 4"}
    assert all(c.verdict == "reproduced" for c in found)


def test_boxes_and_masks_of_one_cell(tmp_path: Path) -> None:
    folder = study(
        tmp_path, "FPN", "FPN-CFG3", detector={"config": "mask-rcnn_r101_fpn_1x_coco"},
        evaluation={"iou_type": ["bbox", "segm"]},
    )  # fmt: skip
    comparison(folder, [difference("FPN-CFG3", "FPN", "AP_L", 0.01, 0.02)])
    boxes = folder / "evidence" / "comparison.parquet"
    masks = pd.read_parquet(boxes)
    masks[["difference", "low", "high"]] *= -1
    masks = masks.rename(columns={"low": "high", "high": "low"})
    masks.to_parquet(boxes.with_name("comparison_segm.parquet"), index=False)
    found = [c for c in claims.judge(folder) if c.metric == "AP_L" and c.verdict != "not run"]
    assert {(c.printed[0]["source"], c.iou_type, c.verdict) for c in found} == {
        ("Table 3", "bbox", "reproduced"),
        ("Table 4", "segm", "contradicted"),
    }


def test_without_evidence_nothing_was_run(tmp_path: Path) -> None:
    found = claims.judge(study(tmp_path, "DC5", "FPN"))
    assert {c.verdict for c in found} == {"not run"}
    assert one(found, source="Figure 1", metric="AP_S").note == "no finished cells of FPN and DC5"


def test_claims_are_plain_json(tmp_path: Path) -> None:
    found = claims.judge(study(tmp_path, "DC5", "FPN"))
    text = json.dumps([c.as_json() for c in found], allow_nan=False)
    assert json.loads(text)[0]["measured"] is None
    assert "hierarchical bootstrap" in claims.RULE


def test_sizes_with_other_bounds_are_compared_only_for_a_reason(tmp_path: Path) -> None:
    buckets = [["small", 0, 576], ["medium", 576, 5184], ["large", 5184, None]]
    rows = [difference("FPN", "DC5", metric, 0.01, 0.02) for metric in ("AP", "AP_S")]
    silent = study(tmp_path / "silent", "DC5", "FPN", buckets=buckets)
    told = study(
        tmp_path / "told", "DC5", "FPN", buckets=buckets, compare_with_paper="small images"
    )
    found = {}
    for folder in (silent, told):
        comparison(folder, rows)
        judged = claims.judge(folder)
        small, whole = (
            one(judged, source="Figure 3", metric=m, variant="FPN") for m in ("AP_S", "AP")
        )
        found[folder] = (small.verdict, whole.verdict)
        assert ("other bounds" in small.note) == (folder == silent)
    assert found == {silent: ("not run", "contradicted"), told: ("reproduced", "contradicted")}


def test_p_values_are_corrected_for_the_number_of_claims(tmp_path: Path) -> None:
    folder = study(tmp_path, "DC5", "FPN")
    comparison(folder, [difference("FPN", "DC5", m, 0.01, 0.03) for m in ("AP", "AP_S", "AP_L")])
    run = [c for c in claims.judge(folder) if c.verdict != "not run"]
    assert len(run) == 3
    for claim in run:
        assert 0 < claim.p < 0.05  # the interval excludes 0
        assert claim.p_holm == pytest.approx(3 * claim.p)


@pytest.mark.parametrize("judge", [claims.judge, explanations.judge])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no table", r"cannot read .*comparison\.parquet: .*; run the study again$"),
        (None, r"has no column 'seed'; expected variant, .*; run the study again$"),
    ],
)
def test_a_damaged_comparison_says_what_to_do(
    judge: Callable[[Path], object], content: bytes | None, told: str, tmp_path: Path
) -> None:
    folder = study(tmp_path, "DC5", "FPN")
    comparison(folder, [difference("FPN", "DC5", "AP", 0.01, 0.03)])
    file = folder / "evidence" / "comparison.parquet"
    if content is None:
        pd.read_parquet(file).drop(columns="seed").to_parquet(file)
    else:
        file.write_bytes(content)
    with pytest.raises(FpnProbeError, match=told):
        judge(folder)
