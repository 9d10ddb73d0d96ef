"""The law, on mutated good files: what the check accepts every reader accepts, or it is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpnprobe.data import annotations, coco, parts, subset
from fpnprobe.data.usable import usable
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import GroundTruth, evaluate
from tests.unit.data import mutations
from tests.unit.data.mutations import Content, changes

Changes = list[Callable[[Content], None]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated")
    mutations.write_pictures(folder)
    return folder


def check(root: Path) -> list[coco.Split] | None:
    """What `fpnprobe data check` does; None where it refuses, in one line."""
    try:
        splits = [coco.open_split(root, name) for name in ("train", "val")]
        coco.match_categories(*splits)
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


def assert_readers_agree(root: Path, split: coco.Split) -> None:
    """A written part holds what is used, and nothing more is left out of it."""
    found = split.annotations
    file = root / "part.json"
    parts.write_part(file, found, root=root, folder=split.folder)
    again, notices = usable(annotations.read(file))
    assert not [each for each in notices if "left out" in each.what or "clipped" in each.what]
    assert coco.image_folder(root, file, again) == split.folder
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


def hold_to_the_law(root: Path, mutated: Changes, *, both: bool) -> None:
    mutations.write(root, mutated, both=both)
    splits = check(root)
    if splits is None:
        return
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


def _lost_all_objects(target: Path) -> bool:
    with pytest.raises(FpnProbeError, match="has no object"):
        coco.check(target, "train")
    return True


some = st.lists(changes(), min_size=1, max_size=3)
relaxed = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


def test_the_good_file_is_good(root: Path) -> None:
    mutations.write(root, [], both=True)
    splits = check(root)
    assert splits is not None
    assert not any(split.notices for split in splits)
    hold_to_the_law(root, [], both=True)


@settings(max_examples=60, deadline=None, suppress_health_check=relaxed)
@given(some, st.booleans())
def test_mutations(root: Path, mutated: Changes, both: bool) -> None:
    hold_to_the_law(root, mutated, both=both)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=relaxed)
@given(some, st.booleans())
def test_many_mutations(root: Path, mutated: Changes, both: bool) -> None:
    hold_to_the_law(root, mutated, both=both)


@settings(max_examples=60, deadline=None, suppress_health_check=relaxed)
@given(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 40))
def test_damaged_bytes(root: Path, place: int, put: bytes, removed: int) -> None:
    mutations.write(root, [], both=True)
    file = root / "annotations" / "train.json"
    whole = file.read_bytes()
    place %= len(whole)
    file.write_bytes(whole[:place] + put + whole[place + removed :])
    check(root)
