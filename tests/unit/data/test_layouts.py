"""Every layout that exporters write is found, and what is ambiguous is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest

from fpnprobe.data import coco, layouts, splits
from fpnprobe.errors import FpnProbeError

LAYOUTS = {
    "ours": ("annotations/train.json", "images"),
    "mmdet, a folder per split": ("annotations/train.json", "train"),
    "COCO": ("annotations/instances_train2017.json", "train2017"),
    "COCO, images below": ("annotations/instances_train2014.json", "images/train2014"),
    "CVAT": ("annotations/instances_Train.json", "images/Train"),
    "Roboflow": ("train/_annotations.coco.json", "train"),
    "FiftyOne": ("train/labels.json", "train/data"),
    "a folder per split": ("train/annotations.json", "train/images"),
    "a file per split": ("train.json", "images"),
    "Label Studio": ("train/result.json", "train/images"),
}


def write(root: Path, file: str, folder: str) -> None:
    for place in (root / file, root / folder / "x"):
        place.parent.mkdir(parents=True, exist_ok=True)
    (root / folder / "a.jpg").write_bytes(b"")
    image = {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "a"}]}
    (root / file).write_text(json.dumps(content))


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str, tmp_path: Path) -> None:
    file, folder = LAYOUTS[name]
    write(tmp_path, file, folder)
    found = splits.open_split(tmp_path, "train")
    assert (found.file, found.folder) == (tmp_path / file, tmp_path / folder)
    assert found.paths() == (tmp_path / folder / "a.jpg",)


def test_a_split_is_named_by_its_file(tmp_path: Path) -> None:
    write(tmp_path, "annotations/instances_default.json", "images/default")
    assert splits.open_split(tmp_path, "instances_default").folder == tmp_path / "images/default"
    with pytest.raises(FpnProbeError, match="there is: instances_default; name one"):
        splits.open_split(tmp_path, "train")


def test_valid_is_val(tmp_path: Path) -> None:
    write(tmp_path, "valid/_annotations.coco.json", "valid")
    assert splits.open_split(tmp_path, "val").layout == "Roboflow"


def test_two_years_are_ambiguous(tmp_path: Path) -> None:
    for year in (2014, 2017):
        write(tmp_path, f"annotations/instances_train{year}.json", f"train{year}")
    with pytest.raises(FpnProbeError, match=r"several annotation files .* say which: .--split"):
        splits.open_split(tmp_path, "train")
    assert splits.open_split(tmp_path, "instances_train2014").folder == tmp_path / "train2014"


def test_of_several_folders_the_one_with_the_images_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "annotations/train.json", "train")
    (tmp_path / "images" / "train").mkdir(parents=True)
    assert splits.open_split(tmp_path, "train").folder == tmp_path / "train"


def test_names_may_begin_with_their_folder(tmp_path: Path) -> None:
    write(tmp_path, "annotations/train.json", "images")
    names = ["images/a.jpg"]
    assert layouts.find_images(tmp_path, tmp_path / "annotations/train.json", names) == tmp_path


def test_what_is_no_coco_folder(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "1.xml").write_text("<annotation/>")
    with pytest.raises(FpnProbeError, match="holds XML files and no COCO annotation file"):
        layouts.find_layout(tmp_path, "train")
    (tmp_path / "Annotations").rename(tmp_path / "train")  # beside the images, as Roboflow does
    with pytest.raises(FpnProbeError, match="holds XML files and no COCO annotation file"):
        layouts.find_layout(tmp_path, "train")
    (tmp_path / "train" / "1.xml").write_text("<testsuite/>")
    with pytest.raises(FpnProbeError, match="COCO's, CVAT's or Roboflow's layout"):
        layouts.find_layout(tmp_path, "train")
    with pytest.raises(FpnProbeError, match="no data folder"):
        layouts.find_layout(tmp_path / "none", "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FpnProbeError, match="COCO's, CVAT's or Roboflow's layout"):
        layouts.find_layout(tmp_path / "empty", "train")


def test_categories_of_the_validation_follow_the_training(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path, f"annotations/{split}.json", "images")
    file = tmp_path / "annotations" / "val.json"
    content = json.loads(file.read_text())

    def val(*names: str, used: int = 0) -> splits.Split:
        content["categories"] = [{"id": 7 + i, "name": name} for i, name in enumerate(names)]
        content["annotations"][0]["category_id"] = 7 + used
        file.write_text(json.dumps(content))
        return splits.match_categories(
            splits.open_split(tmp_path, "train"), splits.open_split(tmp_path, "val")
        )

    assert val("a").annotations.category_names == ("a",)
    part = val("b", "a", used=1).annotations
    assert (part.category_names, part.category.tolist()) == (("a",), [0])
    assert np.array_equal(part.category_keys.numbers, [8])
    with pytest.raises(
        FpnProbeError, match=r"1 objects are of 1 categories that .* 'b', 1 objects"
    ):
        val("b", "a", used=0)


def test_a_folder_too_far_up_is_told(tmp_path: Path) -> None:
    write(tmp_path / "coco", "annotations/instances_train2017.json", "train2017")
    with pytest.raises(FpnProbeError, match=r"no split 'train', and .*coco has one: give that"):
        splits.open_split(tmp_path, "train")


def test_names_that_differ_in_case_are_told(tmp_path: Path) -> None:
    write(tmp_path, "annotations/train.json", "images")
    (tmp_path / "images" / "a.jpg").rename(tmp_path / "images" / "A.JPG")
    with pytest.raises(FpnProbeError, match=r"1 of 1 images are missing .*there is A.JPG"):
        coco.check(tmp_path, "train")
