"""Subsets: always the same choice, nested, nothing left dangling."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpnprobe.data import coco, scenes, splits, subset
from fpnprobe.data.annotation_file import reader
from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.errors import FpnProbeError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.make(tmp_path_factory.mktemp("data") / "scenes", train=30, val=10, size=96)


@pytest.fixture(scope="module")
def content(root: Path) -> Annotations:
    return splits.open_split(root, "train").annotations


def ids(content: Annotations) -> set[int]:
    return set(content.image_keys.numbers.tolist())


def test_images_are_chosen_alike_and_nested(content: Annotations) -> None:
    ten, twenty = subset.select(content, images=10), subset.select(content, images=20)
    assert ids(ten) == ids(subset.select(content, images=10))
    assert ids(ten) < ids(twenty)
    assert (len(ids(ten)), len(ids(twenty))) == (10, 20)


def test_another_seed_is_another_choice(content: Annotations) -> None:
    assert ids(subset.select(content, images=10)) != ids(subset.select(content, images=10, seed=1))


def test_the_choice_does_not_depend_on_the_order_of_the_file(root: Path) -> None:
    given = json.loads((root / "annotations" / "train.json").read_text())
    turned = reader.of({**given, "images": given["images"][::-1]}, "turned")
    content = reader.of(given, "given")
    assert ids(subset.select(turned, images=7)) == ids(subset.select(content, images=7))


def test_nothing_dangles(content: Annotations) -> None:
    part = subset.select(content, images=5, classes=("ring", "plus"))
    assert part.category_names == ("ring", "plus")
    assert len(part.image_keys) == 5
    assert part.image.max() < 5
    assert set(part.category.tolist()) <= {0, 1}


def test_objects_stay_with_their_image_and_category(content: Annotations) -> None:
    part = subset.select(content, images=5, classes=("ring", "plus"))
    before = {
        (content.image_names[i], content.category_names[c], *box)
        for i, c, box in zip(content.image, content.category, content.boxes.tolist(), strict=True)
    }
    after = {
        (part.image_names[i], part.category_names[c], *box)
        for i, c, box in zip(part.image, part.category, part.boxes.tolist(), strict=True)
    }
    wanted = {row for row in before if row[0] in part.image_names and row[1] in ("ring", "plus")}
    assert after == wanted


def test_every_image_has_enough_objects(content: Annotations) -> None:
    part = subset.select(content, classes=("ring",), min_objects=2)
    assert np.bincount(part.image).min() >= 2


def test_crowds_do_not_count_as_objects(content: Annotations) -> None:
    crowded = replace(content, crowd=content.image == 0)
    assert content.image_keys.values[0] not in ids(subset.select(crowded, min_objects=1))


def test_frequent_classes(content: Annotations) -> None:
    counts = dict(zip(content.category_names, np.bincount(content.category), strict=True))
    two = subset.frequent_classes(content, 2)
    assert sorted(counts[name] for name in two) == sorted(counts.values())[-2:]
    assert subset.frequent_classes(content, 5) == scenes.CLASSES


@pytest.mark.parametrize("count", [0, 6])
def test_too_many_classes(content: Annotations, count: int) -> None:
    with pytest.raises(FpnProbeError, match=f"{count} classes asked for, the data has 5"):
        subset.frequent_classes(content, count)


def test_unknown_class(content: Annotations) -> None:
    with pytest.raises(FpnProbeError, match="no class 'cat' in the data; there is: ring"):
        subset.select(content, classes=("cat",))


def test_nothing_left(content: Annotations) -> None:
    with pytest.raises(FpnProbeError, match="no image is left: images=None, min_objects=99"):
        subset.select(content, min_objects=99)


@pytest.mark.parametrize("bad", [{"images": 0}, {"images": -1}, {"min_objects": -1}])
def test_numbers_too_small(content: Annotations, bad: dict[str, Any]) -> None:
    with pytest.raises(FpnProbeError, match="expected at least 1 image"):
        subset.select(content, **bad)


@pytest.mark.parametrize("link", [False, True])
def test_a_subset_is_a_coco_folder(root: Path, tmp_path: Path, link: bool) -> None:
    target = tmp_path / "subset"
    subset.make(root, target, images=6, val_images=3, classes=2, link=link)
    train, val = (coco.check(target, split) for split in ("train", "val"))
    assert (train.images, val.images) == (6, 3)
    assert train.categories == val.categories
    files = list((target / "images").iterdir())
    assert len(files) == 9
    assert all(file.is_symlink() == link for file in files)
    with pytest.raises(FpnProbeError, match="holds something else"):
        subset.make(root, target)
