"""Every bad COCO folder is one line that says what, where and how to fix it."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fpnprobe.data import coco, splits
from fpnprobe.data.image_files import images
from fpnprobe.errors import FpnProbeError
from tests.unit.data.law import assert_readers_agree

Content = dict[str, Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images, three objects (one of them a crowd), three categories of which one is empty."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    rng = np.random.default_rng(0)
    for name, (width, height) in {"a.jpg": (80, 60), "b.png": (50, 40)}.items():
        pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 80, "height": 60},
            {"id": 2, "file_name": "b.png", "width": 50, "height": 40},
        ],
        "annotations": [
            annotation(1, 1, 3, [5, 5, 40, 40]),
            annotation(2, 1, 3, [0, 0, 10, 12.5]),
            annotation(3, 2, 7, [10, 10, 20, 20], iscrowd=1),
        ],
        "categories": [
            {"id": 3, "name": "cat"},
            {"id": 7, "name": "dog"},
            {"id": 9, "name": "owl"},
        ],
    }
    (folder / "annotations" / "train.json").write_text(json.dumps(content))
    return folder


def annotation(
    number: int, image: int, category: int, box: list[float], *, iscrowd: int = 0
) -> Content:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": iscrowd,
    }


def edit(root: Path, change: Callable[[Content], object]) -> None:
    file = root / "annotations" / "train.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def refused(root: Path) -> str:
    with pytest.raises(FpnProbeError) as caught:
        coco.check(root, "train")
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_good_folder(root: Path) -> None:
    summary = coco.check(root, "train")
    assert (summary.images, summary.objects, summary.crowds) == (2, 2, 1)
    assert summary.empty == ("dog", "owl")
    assert summary.scales == {"small": 1, "medium": 1, "large": 0}
    assert (summary.clipped, summary.warnings, summary.masks) == (0, (), False)
    assert json.loads(json.dumps(summary.to_dict()))["categories"] == ["cat", "dog", "owl"]


def test_missing_folder(tmp_path: Path) -> None:
    assert "no data folder" in refused(tmp_path / "nowhere")


def test_missing_images(root: Path) -> None:
    (root / "images").rename(root / "pictures")
    assert "2 of 2 images are missing" in refused(root)


def test_missing_split_names_those_that_are_there(root: Path) -> None:
    with pytest.raises(FpnProbeError, match=r"val.json; there is: train; name one"):
        coco.check(root, "val")


def test_annotation_file_cut_in_half(root: Path) -> None:
    file = root / "annotations" / "train.json"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "is the file cut off? copy it again" in refused(root)


def test_annotation_file_that_is_binary(root: Path) -> None:
    (root / "annotations" / "train.json").write_bytes(b"\xff\xd8\xff\xe0 not text")
    assert "is not text in utf-8 (byte 0)" in refused(root)


def test_annotation_file_of_another_format(root: Path) -> None:
    (root / "annotations" / "train.json").write_text("[1, 2]")
    assert "holds a list: expected a COCO dictionary" in refused(root)
    (root / "annotations" / "train.json").write_text('{"images": [], "annotations": []}')
    assert "has no list 'categories'" in refused(root)


def first(content: Content, part: str = "annotations") -> Content:
    entry: Content = content[part][0]
    return entry


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: first(c).update(image_id=99), "point to no image (first: annotation 1"),
        (lambda c: first(c).update(category_id=4), "point to no category (first: annotation 1"),
        (lambda c: first(c).update(bbox=[1, 1, 5, -2]), "have a box of negative width or height"),
        (lambda c: first(c).update(bbox=[1, math.nan, 5, 5]), "a box with NaN or infinity"),
        (lambda c: first(c).update(bbox=[1, 1, math.inf, 5]), "a box with NaN or infinity"),
        (lambda c: first(c).update(bbox=[1, 1, 5]), "have no box of four numbers"),
        (lambda c: first(c).update(bbox=None), "have no box (first"),
        (lambda c: first(c).update(bbox=["1", 1, 5, 5]), "have no box of four numbers"),
        (lambda c: first(c).update(area=math.nan), "have an area that is negative or not finite"),
        (lambda c: first(c).update(area=-1), "have an area that is negative or not finite"),
        (lambda c: first(c).update(area="12"), "have an area that is no number"),
        (lambda c: first(c).update(area=5000), "have an area that is larger than their box"),
        (lambda c: first(c).pop("area"), "have no 'area' (first: annotation 1); add it (px^2), or"),
        (lambda c: first(c).update(area=None), "have no 'area' (first: annotation 1, area None)"),
        (lambda c: first(c).update(iscrowd="0"), "an iscrowd that is neither 0 nor 1 (first"),
        (lambda c: first(c).update(iscrowd=2), "an iscrowd that is neither 0 nor 1 (first"),
        (lambda c: first(c).update(bbox=[10**400, 1, 5, 5]), "have no box of four numbers"),
        (lambda c: first(c, "images").update(file_name="a\0b"), "holds control characters"),
        (lambda c: first(c, "images").update(file_name="a" * 300), "longer than a file system"),
        (lambda c: first(c, "images").update(file_name="\ud800.jpg"), "is no Unicode text"),
        (lambda c: first(c, "images").update(width=10**400), "no number of pixels"),
        (lambda c: first(c, "images").update(width=80.5), "no number of pixels"),
        (lambda c: first(c, "images").pop("height"), "of 2 images have no 'height'"),
        (
            lambda c: first(c, "images").update(width=0),
            "a width that is no number of pixels (first: image 1, width 0)",
        ),
        (lambda c: c["images"].__setitem__(0, "a.jpg"), "1 of 2 images are no objects"),
        (lambda c: first(c, "images").update(id=2), "1 of 2 images repeat an id (first: id 2)"),
        (lambda c: first(c, "categories").update(id=7), "1 of 3 categories repeat an id"),
        (
            lambda c: [each.update(name="dog") for each in c["categories"]],
            "2 categories with objects are named 'dog' (ids 3 and 7)",
        ),
        (lambda c: first(c, "categories").pop("name"), "1 of 3 categories have no name"),
        (lambda c: c.update(images=[], annotations=[]), "lists no image"),
        (lambda c: c.update(annotations=[]), "has no object: nothing to learn from"),
        (lambda c: first(c, "images").update(file_name="c.jpg"), "1 of 2 images are missing"),
        (lambda c: first(c, "images").update(width=81), "is 80 x 60 px, its annotation says 81"),
    ],
)
def test_bad_annotations(root: Path, change: Callable[[Content], object], message: str) -> None:
    edit(root, change)
    assert message in refused(root)


@pytest.mark.parametrize(
    ("change", "left_out", "said"),
    [
        (lambda c: first(c).pop("iscrowd"), 0, None),
        (lambda c: first(c).update(iscrowd=False), 0, None),
        (lambda c: first(c).update(iscrowd=None), 0, None),
        (lambda c: first(c).pop("id"), 0, None),
        (lambda c: first(c).update(id=2), 0, "1 of 3 annotations repeat the id of another one"),
        (lambda c: first(c).update(bbox=[1, 1, 0, 5]), 1, "have no extent (box or area 0)"),
        (lambda c: first(c).update(area=0), 1, "have no extent (box or area 0)"),
        (lambda c: first(c).update(bbox=[90, 5, 5, 5], area=25), 1, "lie outside of their image"),
        (lambda c: first(c).update(ignore=1), 1, "are marked `ignore`"),
        (lambda c: first(c, "categories").update(name=5), 0, None),
        (lambda c: c["categories"][2].update(name="cat"), 0, "repeat a name, have no object"),
        (lambda c: first(c, "images").update(width=80.0), 0, None),
        (lambda c: first(c, "images").update(file_name=".\\a.jpg"), 0, None),
        (
            lambda c: (
                [each.update(category_id=str(each["category_id"])) for each in c["annotations"]]
                + [each.update(id=str(each["id"])) for each in c["categories"]]
            ),
            0,
            None,
        ),
        (
            lambda c: (
                [each.update(image_id=each["image_id"] + 2**60) for each in c["annotations"]]
                + [each.update(id=each["id"] + 2**60) for each in c["images"]]
            ),
            0,
            None,
        ),
    ],
)
def test_odd_annotations_that_can_be_used(
    root: Path, change: Callable[[Content], object], left_out: int, said: str | None
) -> None:
    edit(root, change)
    summary = coco.check(root, "train")
    assert (summary.objects, summary.left_out) == (2 - left_out, left_out)
    assert len(summary.warnings) == (said is not None)
    assert (said or "") in "".join(summary.warnings)


def test_the_number_of_bad_entries_is_told(root: Path) -> None:
    edit(root, lambda c: [entry.update(image_id=99) for entry in c["annotations"]])
    assert "3 of 3 annotations point to no image" in refused(root)


def test_an_image_that_is_no_image(root: Path) -> None:
    (root / "images" / "a.jpg").write_text("<html>404</html>")
    assert "a.jpg cannot be read as an image" in refused(root)


@pytest.mark.parametrize("name", ["a.jpg", "b.png"])
def test_an_image_cut_off(root: Path, name: str) -> None:
    file = root / "images" / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert f"{name} cannot be read as an image" in refused(root)


def test_an_empty_image(root: Path) -> None:
    (root / "images" / "a.jpg").write_bytes(b"")
    assert "a.jpg cannot be read as an image" in refused(root)


def test_bytes_after_the_end_of_an_image_are_fine(root: Path) -> None:
    with (root / "images" / "a.jpg").open("ab") as file:
        file.write(b"trailing bytes of a camera")
    assert coco.check(root, "train").images == 2


def test_an_image_turned_by_its_camera_is_fine(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 80)).save(root / "images" / "a.jpg", exif=exif)
    assert coco.check(root, "train").images == 2


def test_boxes_that_stick_out_are_clipped_and_counted(root: Path) -> None:
    edit(root, lambda c: first(c).update(bbox=[-5, 20, 100, 30], area=123.0))
    summary = coco.check(root, "train")
    assert summary.clipped == 1
    assert summary.warnings == (
        "train: 1 of 3 boxes stick out of their image and were clipped (first: annotations[0], "
        "bbox [-5.0, 20.0, 100.0, 30.0])",
    )
    found = splits.open_split(root, "train").annotations
    assert found.boxes[0].tolist() == [0.0, 20.0, 80.0, 30.0]
    assert found.areas[0] == 123.0


def test_the_area_of_a_whole_box_is_clipped_with_it(root: Path) -> None:
    """As converters write it, width times height of a box that sticks out of its image."""
    edit(root, lambda c: first(c).update(bbox=[-120, 20, 200, 30], area=6000.0))
    split = splits.open_split(root, "train")
    assert split.annotations.boxes[0].tolist() == [0.0, 20.0, 80.0, 30.0]
    assert split.annotations.areas[0] == 2400.0
    assert_readers_agree(root, split)  # the part that a training reads is accepted


def test_rounding_is_not_sticking_out(root: Path) -> None:
    edit(root, lambda c: first(c).update(bbox=[-0.004, 20, 80.008, 30]))
    assert coco.check(root, "train").clipped == 0


def test_images_are_opened_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coco.check(root, "train")
    with monkeypatch.context() as patch:
        patch.setattr(images, "check_image_file", None)  # would fail if called again
        coco.check(root, "train")
    (root / "images" / "a.jpg").write_text("<html>404</html>")
    assert "cannot be read as an image" in refused(root)


def test_content_hash_follows_the_content_and_not_the_place(root: Path, tmp_path: Path) -> None:
    before = splits.open_split(root, "train").content_hash()
    copy = shutil.copytree(root, tmp_path / "copy")
    assert splits.open_split(copy, "train").content_hash() == before
    edit(copy, lambda c: first(c).update(area=99.0))
    assert splits.open_split(copy, "train").content_hash() != before
    with (root / "images" / "a.jpg").open("ab") as file:
        file.write(b"1")
    assert splits.open_split(root, "train").content_hash() != before


def test_validation_on_images_of_the_training_is_told(root: Path) -> None:
    annotations = root / "annotations"
    shutil.copy(annotations / "train.json", annotations / "val.json")
    train, val = coco.check_splits(root, ["train", "val"])
    assert train.warnings == ()
    (line,) = val.warnings
    assert line.startswith("val: 2 of 2 images are images of train too: AP on them is")
    assert line.endswith(f"(first: {root / 'images' / 'a.jpg'})")
