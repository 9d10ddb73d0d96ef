"""The law for readers: what the check accepts every reader accepts, and both engines agree on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpnprobe.data import coco, subset
from fpnprobe.data.annotation_file import parts, reader
from fpnprobe.data.annotation_file.usable import usable
from fpnprobe.data.splits import Split, image_folder, match_categories, open_split
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import GroundTruth, evaluate
from tests.unit.data import mutations
from tests.unit.data.mutations import Changes


def check(root: Path) -> list[Split] | None:
    """What `fpnprobe data check` does; None where it refuses, in one line."""
    try:
        splits = [open_split(root, name) for name in ("train", "val")]
        match_categories(*splits)
        for split in splits:
            assert all(
                "\n" not in line for line in coco.summarize(split, split.check_images()).warnings
            )
    except FpnProbeError as error:
        line = str(error)
        assert error.exit_code == 2
        assert "\n" not in line
        assert len(line) < 600
        line.encode()
        return None
    return splits


def assert_readers_agree(root: Path, split: Split) -> None:
    """A written part holds what is used, and nothing more is left out of it."""
    found = split.annotations
    file = root / "part.json"
    parts.write_part(file, found, root=root, folder=split.folder)
    again, notices = usable(reader.read(file))
    assert not [
        each for each in notices if "left out" in each.sentence or "clipped" in each.sentence
    ]
    assert image_folder(root, file, again) == split.folder
    np.testing.assert_array_equal(again.boxes, found.boxes)
    np.testing.assert_array_equal(again.areas, found.areas)
    np.testing.assert_array_equal(again.image, found.image)
    np.testing.assert_array_equal(again.crowd, found.crowd)
    assert again.category_names == found.category_names
    assert list(again.masks) == list(found.masks)
    assert again.image_keys.plain
    content = json.loads(file.read_text())
    assert [each["file_name"] for each in content["images"]] == list(found.image_names)


def assert_engines_agree(truth: Any, iou_type: str) -> None:
    """Both engines give the same numbers, or both refuse in one line."""
    given = GroundTruth.of(truth)
    images, categories = given.images_named(), given.categories_named()
    results = [
        {
            "image_id": images.values[given.image[row]],
            "category_id": categories.values[given.category[row]],
            "bbox": (given.boxes[row] + [0, 0, 0.3 * row, 0]).tolist(),
            "score": 1 / (row + 2),
            "segmentation": given.segmentations[row],
        }
        for row in range(len(given.image))
        if iou_type == "bbox" or given.segmentations[row]
    ]
    found: list[Any] = []
    for engine in ("hotcoco", "pycocotools"):
        try:
            found.append(evaluate(truth, results, iou_type=iou_type, engine=engine).metrics)
        except FpnProbeError as error:
            assert "\n" not in str(error)
            found.append(str(error))
    if isinstance(found[0], str):
        assert found[0] == found[1]
    else:
        assert found[0] == pytest.approx(found[1], abs=1e-12, nan_ok=True)


def hold_to_the_law(root: Path, mutated: Changes, *, both: bool) -> list[Split] | None:
    """Write a mutated folder, check it, and read what is accepted in every way.

    Returns:
        Its splits; None where it was refused.
    """
    mutations.write(root, mutated, both=both)
    splits = check(root)
    if splits is None:
        return None
    for split in splits:
        assert_readers_agree(root, split)
        for iou_type in ("bbox", "segm"):
            assert_engines_agree(split.annotations, iou_type)
            assert_engines_agree(split.file, iou_type)
    target = root.with_name("cut")
    shutil.rmtree(target, ignore_errors=True)
    if len(splits[0].annotations.image_keys) > 1:
        subset.make(root, target, images=2, min_objects=0)
        assert check(target) is not None or _lost_all_objects(target)
    return splits


def _lost_all_objects(target: Path) -> bool:
    with pytest.raises(FpnProbeError, match="has no object"):
        coco.check(target, "train")
    return True
