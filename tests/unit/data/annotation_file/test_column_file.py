"""Columns on disk are the annotations they were made of, and are parsed once."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpnprobe.config import loading
from fpnprobe.data import scenes
from fpnprobe.data.annotation_file import column_file, reader
from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.data.annotation_file.usable import usable
from fpnprobe.study.folder import dataset
from tests.unit.study.conftest import content as study_content

SQUARE = [10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]
CONTENT: dict[str, Any] = {
    "images": [
        {"id": "first", "file_name": "a \u00e9.jpg", "width": 40, "height": 30},
        {"id": 2**60, "file_name": "b.jpg", "width": 64, "height": 48},
    ],
    "categories": [{"id": 7, "name": "ring"}, {"id": 0, "name": "star"}],
    "annotations": [
        {"image_id": "first", "segmentation": [SQUARE, [v / 2 for v in SQUARE]]},
        {"image_id": 2**60, "segmentation": {"size": [48, 64], "counts": [480, 48, 2544]}},
        {"image_id": 2**60, "iscrowd": 1, "segmentation": {"size": [48, 64], "counts": [0, 3072]}},
        {"image_id": "first"},
    ],
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    common = {"category_id": 7, "bbox": [10.0, 10.0, 10.0, 10.0], "area": 90.25, "iscrowd": 0}
    entries = [{**common, "id": n, **e} for n, e in enumerate(CONTENT["annotations"])]
    (tmp_path / "train.json").write_text(json.dumps({**CONTENT, "annotations": entries}))
    return tmp_path / "train.json"


def assert_same(one: Annotations, other: Annotations) -> None:
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        elif field.name == "masks":
            assert [a[i] for i in range(len(a))] == [b[i] for i in range(len(b))]
        else:
            assert a == b, field.name


def test_columns_are_the_annotations(file: Path, tmp_path: Path) -> None:
    read, _ = usable(reader.read(file))
    column_file.write_columns(tmp_path / "columns", read)
    mapped = column_file.map_columns(tmp_path / "columns")
    assert_same(read, mapped)
    assert isinstance(mapped.masks.coordinates.base, np.memmap | np.ndarray)
    assert not mapped.boxes.flags.writeable, "pages of a file, not a copy"
    rows = np.array([2, 0])
    assert_same(read.take(rows), mapped.take(rows))


def test_a_large_file_is_parsed_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = column_file.read_usable(file)
    assert small.boxes.flags.writeable, "a small file has no columns on disk"
    monkeypatch.setattr(column_file, "LARGE", 1)
    parsed: list[Path] = []

    def read(path: Path, *, area: str | None = None) -> Annotations:
        parsed.append(path)
        return reader.read(path, area=area)

    monkeypatch.setattr(column_file, "read", read)
    found = [column_file.read_usable(file) for _ in range(3)]
    assert parsed == [file]
    assert_same(small, found[-1])
    file.write_text(file.read_text() + " ")  # another file
    column_file.read_usable(file)
    assert len(parsed) == 2


def test_a_written_part_keeps_its_image_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COCO's layout, something left out: the part lies elsewhere, and its columns say where."""
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(column_file, "LARGE", 1)
    made = scenes.make(tmp_path / "made", train=4, val=2, size=64)
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        content = json.loads((made / "annotations" / f"{split}.json").read_text())
        content["annotations"][0] |= {"area": 0.0}
        file = root / "annotations" / f"instances_{split}2017.json"
        file.write_text(json.dumps(content))
        (root / f"{split}2017").mkdir()
        for image in content["images"]:
            shutil.copy(made / "images" / image["file_name"], root / f"{split}2017")
    data = {"root": str(root)}
    study = loading.validate({**study_content(), "data": data})
    found = dataset.prepare(study, out=tmp_path / "out")
    dataset.parse_once(found)
    dataset.decode(found, study)
    mapped = column_file.read_usable(found.train)
    assert column_file.columns_path(Path(found.train)).is_file()
    assert mapped.folder == "train2017"
    assert_same(usable(reader.read(found.train))[0], mapped)
