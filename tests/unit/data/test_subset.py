"""Subsets: always the same choice, nested, nothing left dangling."""

import copy
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.data import coco, scenes, subset
from fpnprobe.errors import FpnProbeError

Content = dict[str, Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.make(tmp_path_factory.mktemp("data") / "scenes", train=30, val=10, size=96)


@pytest.fixture(scope="module")
def content(root: Path) -> Content:
    return coco.read(root, "train")[0]


def ids(content: Content) -> set[int]:
    return {image["id"] for image in content["images"]}


def test_images_are_chosen_alike_and_nested(content: Content) -> None:
    given = copy.deepcopy(content)
    ten, twenty = subset.select(content, images=10), subset.select(content, images=20)
    assert ids(ten) == ids(subset.select(given, images=10))
    assert ids(ten) < ids(twenty)
    assert (len(ids(ten)), len(ids(twenty))) == (10, 20)
    assert content == given


def test_another_seed_is_another_choice(content: Content) -> None:
    assert ids(subset.select(content, images=10)) != ids(subset.select(content, images=10, seed=1))


def test_the_choice_does_not_depend_on_the_order_of_the_file(content: Content) -> None:
    turned = {**content, "images": content["images"][::-1]}
    assert ids(subset.select(turned, images=7)) == ids(subset.select(content, images=7))


def test_nothing_dangles(content: Content) -> None:
    part = subset.select(content, images=5, classes=("ring", "plus"))
    assert {category["name"] for category in part["categories"]} == {"ring", "plus"}
    kept = {category["id"] for category in part["categories"]}
    assert all(entry["category_id"] in kept for entry in part["annotations"])
    assert all(entry["image_id"] in ids(part) for entry in part["annotations"])


def test_every_image_has_enough_objects(content: Content) -> None:
    part = subset.select(content, classes=("ring",), min_objects=2)
    for image in ids(part):
        assert sum(entry["image_id"] == image for entry in part["annotations"]) >= 2


def test_crowds_do_not_count_as_objects(content: Content) -> None:
    crowded = copy.deepcopy(content)
    for entry in crowded["annotations"]:
        entry["iscrowd"] = int(entry["image_id"] == 1)
    assert 1 not in ids(subset.select(crowded, min_objects=1))


def test_frequent_classes(content: Content) -> None:
    counts = {
        category["name"]: sum(
            entry["category_id"] == category["id"] for entry in content["annotations"]
        )
        for category in content["categories"]
    }
    two = subset.frequent_classes(content, 2)
    assert sorted(counts[name] for name in two) == sorted(counts.values())[-2:]
    assert subset.frequent_classes(content, 5) == scenes.CLASSES


@pytest.mark.parametrize("count", [0, 6])
def test_too_many_classes(content: Content, count: int) -> None:
    with pytest.raises(FpnProbeError, match=f"{count} classes asked for, the data has 5"):
        subset.frequent_classes(content, count)


def test_unknown_class(content: Content) -> None:
    with pytest.raises(FpnProbeError, match="no class 'cat' in the data; there is: ring"):
        subset.select(content, classes=("cat",))


def test_nothing_left(content: Content) -> None:
    with pytest.raises(FpnProbeError, match="no image is left: images=None, min_objects=99"):
        subset.select(content, min_objects=99)


@pytest.mark.parametrize("bad", [{"images": 0}, {"images": -1}, {"min_objects": -1}])
def test_numbers_too_small(content: Content, bad: dict[str, Any]) -> None:
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
