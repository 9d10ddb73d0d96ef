"""A folder as large and as odd as COCO's: `python -m tests.mm.studies.coco_size FOLDER`.

It is generated in COCO's own layout (118,287 and 5,000 tiny pictures by link, 860,001 annotations;
two of them without extent, crowds with run lengths, images without objects, category ids with gaps
up to 90). Then `data check`, `plan studies/table1` and the first 20 iterations of Mask R-CNN run on
it, each as a command, and their seconds (CPU and wall) and peak memory are printed.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mmdet.datasets import CocoDataset

from tests.mm.training.images.test_masks import run_lengths

STUDIES = Path(__file__).parents[3] / "studies"
SPLITS = {"train": (118_287, 860_001), "val": (5_000, 36_781)}  # images, annotations
EMPTY = 116  # every 116th image has no object: 1,021 of train2017, as there
CROWD = 86  # every 86th annotation is a crowd: some 10,000 of train2017, as there
_SHAPES = ((48, 64), (64, 48), (64, 64), (43, 64))
_PICTURES = 8  # a file can have 65,000 links
_OUTLINES = 512
_MISSING = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # ids that COCO's 80 categories leave out


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    Attributes:
        cpu: Seconds, of all its processes.
        wall: Seconds.
        memory: The most that one of its processes held, MiB.
        code: Its exit code.
    """

    cpu: float
    wall: float
    memory: float
    code: int

    def line(self, name: str) -> str:
        """For a person."""
        return (
            f"{name:32} {self.cpu:7.1f} s CPU {self.wall:7.1f} s wall {self.memory:7.0f} MiB "
            f"exit {self.code}"
        )


def generate(root: Path) -> Path:
    """Write the folder; the same one every time."""
    (root / "annotations").mkdir(parents=True)
    for split, (images, annotations) in SPLITS.items():
        _link_pictures(root / f"{split}2017", images)
        with (root / "annotations" / f"instances_{split}2017.json").open("w") as file:
            for part in _document(images, annotations):
                file.write(part)
    return root


def _shape(image: int) -> tuple[int, int]:
    return _SHAPES[image % _PICTURES % len(_SHAPES)]


def _link_pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for image in range(count):
        file = folder / f"{image:012d}.jpg"
        if image < _PICTURES:
            cv2.imwrite(str(file), rng.integers(0, 255, (*_shape(image), 3), np.uint8))
        else:
            os.link(folder / f"{image % _PICTURES:012d}.jpg", file)


def _document(images: int, annotations: int) -> Iterator[str]:
    """The annotation file, in parts."""
    names = CocoDataset.METAINFO["classes"]
    ids = [number for number in range(1, 91) if number not in _MISSING]
    yield '{"info": {"year": 2017}, "licenses": [], "categories": '
    yield json.dumps([{"id": i, "name": n} for i, n in zip(ids, names, strict=True)])
    yield ', "images": ['
    for image in range(images):
        height, width = _shape(image)
        name = f"{image:012d}.jpg"
        yield ", " if image else ""
        yield f'{{"id": {image}, "file_name": "{name}", "height": {height}, "width": {width}}}'
    yield '], "annotations": ['
    outlines, crowds = list(_outlines()), [_crowd(shape) for shape in _SHAPES]
    owners = [image for image in range(images) if image % EMPTY]
    for number in range(annotations):
        image = owners[number % len(owners)]
        entry = outlines[number % _OUTLINES]
        if number % CROWD == CROWD - 1:
            entry = crowds[image % _PICTURES % len(_SHAPES)]
        elif number in (annotations // 3, annotations // 2) and images > SPLITS["val"][0]:
            entry = '"bbox": [3.5, 7.25, 0.0, 9.0], "area": 0.0, "iscrowd": 0, "segmentation": []'
        yield ", " if number else ""
        yield (
            f'{{"id": {number + 1}, "image_id": {image}, "category_id": {ids[number * 7 % 80]}, '
            f"{entry}}}"
        )
    yield "]}"


def _outlines() -> Iterator[str]:
    """Ends of entries: ellipses of 6 to 60 points that every picture has room for."""
    rng = np.random.default_rng(1)
    for _ in range(_OUTLINES):
        radii, count = rng.uniform(2, 20, 2), int(rng.integers(6, 60))
        center = rng.uniform(radii, 42.5 - radii)
        angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
        points = center + radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        low, high = points.min(axis=0), points.max(axis=0)
        box = [*low, *(high - low)]
        area = np.pi * radii.prod() * 0.95
        polygon = points.round(2).ravel().tolist()
        yield (
            f'"bbox": {[round(float(value), 2) for value in box]}, "area": {area:.4f}, '
            f'"iscrowd": 0, "segmentation": [{polygon}]'
        )


def _crowd(shape: tuple[int, int]) -> str:
    """End of the entry of a crowd, its mask as run lengths of an image of that shape."""
    pixels = np.zeros(shape, np.uint8)
    pixels[4:40, 3:41:2] = 1
    code = json.dumps(run_lengths(pixels))
    area = int(pixels.sum())
    return f'"bbox": [3, 4, 37, 36], "area": {area}, "iscrowd": 1, "segmentation": {code}'


def measure(words: list[str], *, cache: Path, log: Path) -> Cost:
    """Run a command of fpnprobe and take its time and memory."""
    start = time.monotonic()
    pid = os.fork()
    if not pid:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.environ["FPNPROBE_CACHE"] = str(cache)
        os.execv(sys.executable, [sys.executable, "-m", "fpnprobe", *words])
    _, status, used = os.wait4(pid, 0)
    return Cost(
        cpu=used.ru_utime + used.ru_stime,
        wall=time.monotonic() - start,
        memory=used.ru_maxrss / 1024,
        code=os.waitstatus_to_exitcode(status),
    )


def main(folder: Path, say: Callable[[str], object] = print) -> dict[str, Cost]:
    """Generate, run the three commands, and say what each took."""
    root, cache = generate(folder / "coco"), folder / "cache"
    data = ["--set", f"data.root={root}"]
    tiny = {
        "preset": "mini", "variants": "FPN", "schedule.iterations": "20", "data.size": "64",
        "data.limits": '{"val_images": 4}', "data.cache": "false",
    }  # fmt: skip
    commands = {
        "data check": ["data", "check", str(root)],
        "plan studies/table1": ["plan", str(STUDIES / "table1"), *data],
        "Mask R-CNN, 20 iterations": [
            "run-study", str(STUDIES / "table3" / "mask_rcnn.py"), "--out", str(folder / "out"),
            *(word for key, value in tiny.items() for word in ("--set", f"{key}={value}")), *data,
        ],
    }  # fmt: skip
    found = {}
    for number, (name, words) in enumerate(commands.items()):
        log = folder / f"{number}.log"
        found[name] = measure(words, cache=cache, log=log)
        say(found[name].line(name))
        if found[name].code:
            say(log.read_text()[-3000:])
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
