"""What a study cannot say is told before it costs anything."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.config import loading
from fpnprobe.errors import FpnProbeError
from fpnprobe.study.folder import study_folder
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.gaps import find_gaps
from fpnprobe.study.models import check_models
from fpnprobe.study.planning import lines, plan
from tests.unit.study.conftest import SOURCE, content


def made(tmp_path: Path, source: Any = SOURCE, **changes: object) -> Output:
    return study_folder.of(loading.validate(content(**changes)), source=source, out=tmp_path)


def test_sizes_without_objects_and_single_seeds(tmp_path: Path) -> None:
    source = replace(SOURCE, by_bucket=((9, 21, 0), (4, 5, 0)), images=(12, 600))
    result = made(tmp_path, source, seeds=[0])
    gaps = find_gaps(result, result.cells)
    assert gaps == [
        "their gradient: no large objects (of at least 96 px) among the 12 training images",
        "their AP: no large objects (of at least 96 px) among the 600 validation images",
        "the spread between trainings: one seed of DC5, FPN, so no difference can be sure; take "
        "more with --set seeds=0,1,2",
    ]
    told = lines(plan(result, result.cells, jobs=1))
    assert all(f"will be missing: {gap}" in told for gap in gaps)
    assert plan(result, result.cells, jobs=1)["gaps"] == gaps


def test_nothing_is_missing(tmp_path: Path) -> None:
    source = replace(SOURCE, by_bucket=((9, 9, 9), (4, 5, 6)), images=(12, 600))
    result = made(tmp_path, source, seeds=[0, 1, 2])
    assert find_gaps(result, result.cells) == []
    first = [cell for cell in result.cells if cell.seed == 0]
    assert "one seed of DC5, FPN" in find_gaps(result, first)[0], "of what is asked for"
    few = made(tmp_path, replace(source, images=(12, 40)), seeds=[0, 1, 2])
    assert find_gaps(few, few.cells) == ["precision of AP: only 40 validation images"]


MASKED = {"config": "mask-rcnn_r50_fpn_1x_coco"}


@pytest.mark.parametrize(
    ("unmasked", "changes", "message"),
    [
        ((3, 0), {"detector": MASKED}, "trains on masks, and 3 of 30 objects in /data/annotations"),
        ((0, 2), {"detector": MASKED, "evaluation": {"iou_type": "segm"}}, "iou_type=bbox"),
        ((0, 2), {"detector": MASKED, "probe": {"offline": 4}}, "probe.offline=0"),
        ((0, 0), {"evaluation": {"iou_type": ["bbox", "segm"]}}, "FPN has no mask head"),
        ((0, 2), {"detector": MASKED}, ""),
        ((0, 0), {"detector": MASKED, "evaluation": {"iou_type": ["bbox", "segm"]}}, ""),
        ((3, 2), {}, ""),
    ],
)
def test_masks_that_are_needed(
    unmasked: tuple[int, int], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = replace(SOURCE, unmasked=unmasked)
    result = made(tmp_path, source, variants=["FPN"], seeds=[0], **changes)
    if not message:
        check_models(result, result.cells)
        return
    with pytest.raises(FpnProbeError, match=message):
        check_models(result, result.cells)
