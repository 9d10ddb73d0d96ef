"""Generated scenes: the same bytes for the same arguments, boxes where the glyphs are."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fpnprobe.data import coco, glyphs, scene, scenes
from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import bucket_index, check_buckets


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = b"".join(str(f.relative_to(folder)).encode() + f.read_bytes() for f in files)
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.make(tmp_path_factory.mktemp("data") / "scenes", train=60, val=20, seed=5)


@pytest.fixture(scope="module")
def annotations(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "annotations" / "train.json").read_text())
    return content


def test_it_is_a_clean_coco_folder(folder: Path) -> None:
    for split, images in (("train", 60), ("val", 20)):
        summary = coco.check(folder, split)
        assert (summary.images, summary.clipped, summary.empty) == (images, 0, ())
        assert summary.categories == scenes.CLASSES


def test_same_bytes_in_another_process(tmp_path: Path) -> None:
    here = scenes.make(tmp_path / "here", train=3, val=2, size=64, seed=9)
    code = (
        "import sys; from fpnprobe.data import scenes; "
        "scenes.make(sys.argv[1], train=3, val=2, size=64, seed=9)"
    )
    there = tmp_path / "there"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(there)], check=True, env=environment)
    assert digest(here) == digest(there)


def test_a_larger_set_starts_with_the_smaller(tmp_path: Path) -> None:
    small = scenes.make(tmp_path / "small", train=2, val=1, size=64)
    large = scenes.make(tmp_path / "large", train=4, val=2, size=64)
    for file in (small / "images").iterdir():
        assert file.read_bytes() == (large / "images" / file.name).read_bytes()


def test_seed_and_split_change_the_pictures(tmp_path: Path) -> None:
    one = scenes.make(tmp_path / "one", train=1, val=1, size=64, seed=0) / "images"
    other = scenes.make(tmp_path / "other", train=1, val=1, size=64, seed=1) / "images"
    pictures = {path.read_bytes() for path in [*one.iterdir(), *other.iterdir()]}
    assert len(pictures) == 4


def test_three_scales_and_five_classes(annotations: dict[str, Any]) -> None:
    objects = annotations["annotations"]
    buckets = Counter(bucket_index([o["area"] for o in objects], scenes.buckets(192)).tolist())
    shares = [buckets[index] / len(objects) for index in range(3)]
    assert all(0.2 < share < 0.5 for share in shares), shares
    classes = Counter(o["category_id"] for o in objects)
    assert all(classes[number] > 0.1 * len(objects) for number in range(1, 6)), classes


def test_no_object_is_near_a_border_of_two_buckets(annotations: dict[str, Any]) -> None:
    sides = np.sqrt([o["area"] for o in annotations["annotations"]])
    for border in (24, 72):
        assert np.abs(sides / border - 1).min() > 0.02


def test_boxes_lie_inside_and_area_is_theirs(annotations: dict[str, Any]) -> None:
    for entry in annotations["annotations"]:
        x, y, width, height = entry["bbox"]
        assert x >= 0
        assert y >= 0
        assert max(x + width, y + height) <= 192
        assert entry["area"] == pytest.approx(width * height, abs=0.01)


@pytest.mark.parametrize("name", glyphs.CLASSES)
@pytest.mark.parametrize("rotation", [-0.3, 0.0, 0.3])
def test_a_glyph_fills_its_box(name: str, rotation: float) -> None:
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    box = (20.0, 30.0, 80.0, 75.0)
    glyphs.draw_glyph(image, name, box, rotation=rotation, color=(255.0,) * 3, thickness=4)
    rows, columns = np.nonzero(image.max(axis=2) > 64)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.array(found) - box).max() <= 2


def test_objects_are_visible(folder: Path, annotations: dict[str, Any]) -> None:
    """Some stroke inside every box differs from the box's median by more than the grain."""
    names = {image["id"]: image["file_name"] for image in annotations["images"]}
    for entry in annotations["annotations"][:80]:
        file = folder / "images" / names[entry["image_id"]]
        image = np.asarray(cv2.imread(str(file)), dtype=np.float64)
        x, y, width, height = (round(value) for value in entry["bbox"])
        part = image[y : y + height, x : x + width].reshape(-1, 3)
        distance = np.abs(part - np.median(part, axis=0)).mean(axis=1)
        assert np.quantile(distance, 0.95) > 15


def test_buckets_tile() -> None:
    assert check_buckets(scene.buckets(320))[1].high == 120**2


def test_making_the_same_set_again_does_nothing(folder: Path) -> None:
    before = (folder / "annotations" / "train.json").stat().st_mtime_ns
    scenes.make(folder, train=60, val=20, seed=5)
    assert (folder / "annotations" / "train.json").stat().st_mtime_ns == before


def test_a_folder_with_other_content_is_left_alone(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="holds something else"):
        scenes.make(folder, train=61, val=20, seed=5)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(FpnProbeError, match="holds something else"):
        scenes.make(tmp_path, train=1, val=1, size=64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0}, "train=0, val=1: expected at least one image each"),
        ({"size": 32}, "size=32, seed=0: expected size >= 64"),
        ({"seed": -1}, "seed=-1"),
        ({"mix": (0.5, 0.5, 0.5)}, "expected three shares that add up to 1"),
        ({"objects": (5, 3)}, "expected 1 <= fewest <= most"),
        ({"clutter": (3, 3)}, "expected 0 <= fewest < most"),
        ({"colour": 1}, "unknown scene option 'colour'"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FpnProbeError, match=message):
        scenes.make(tmp_path / "new", **{"train": 1, "val": 1, "size": 64, **options})
    assert not (tmp_path / "new").exists()


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FpnProbeError, match="choose a folder that you can write to"):
        scenes.make(tmp_path / "file" / "scenes", train=1, val=1, size=64)


def test_cached_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path))
    first = scenes.cached(train=1, val=1, size=64)
    monkeypatch.setattr(scenes, "draw_scene", None)  # would fail if called again
    assert scenes.cached(train=1, val=1, size=64) == first
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_cached_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scenes, "draw_scene", interrupted)
        with pytest.raises(KeyboardInterrupt):
            scenes.cached(train=1, val=1, size=64)
    assert list((tmp_path / "scenes").iterdir()) == []
    assert coco.check(scenes.cached(train=1, val=1, size=64), "train").images == 1


def test_opencv_threads_are_restored(tmp_path: Path) -> None:
    threads = cv2.getNumThreads()
    scenes.make(tmp_path / "new", train=1, val=1, size=64)
    assert cv2.getNumThreads() == threads


def test_outlines_are_the_boxes_and_change_nothing_else(tmp_path: Path) -> None:
    plain = scenes.make(tmp_path / "plain", train=2, val=1, size=64)
    outlined = scenes.make(tmp_path / "outlined", train=2, val=1, size=64, outlines=True)
    one, other = (
        json.loads((root / "annotations/train.json").read_text()) for root in (plain, outlined)
    )
    for each in other["annotations"]:
        (polygon,) = each.pop("segmentation")
        x, y, w, h = each["bbox"]
        corners = np.reshape(polygon, (4, 2))
        assert corners.min(0).tolist() == [x, y]
        assert np.ptp(corners, axis=0).tolist() == pytest.approx([w, h])
    assert one == other
    assert "outlines" not in json.loads((plain / "scenes.json").read_text())
