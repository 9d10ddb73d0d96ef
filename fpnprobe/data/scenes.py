"""A COCO folder of generated scale scenes: the data set that needs no download."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fpnprobe.data import cache
from fpnprobe.data.glyphs import CLASSES
from fpnprobe.data.scene import Recipe, buckets, draw_scene
from fpnprobe.data.scene_settings import VERSION, check_settings
from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic

__all__ = ["CLASSES", "Recipe", "buckets", "cached", "make"]

_QUALITY = 95
_SPLITS = ("train", "val")


def make(
    root: str | Path,
    *,
    train: int = 800,
    val: int = 200,
    size: int = 192,
    seed: int = 0,
    outlines: bool = False,
    **recipe: Any,
) -> Path:
    """Write a COCO folder of scenes and return it; the same arguments give the same bytes.

    About 8 ms of CPU time per image of 192 px. A scene depends on the seed, its split and its
    number only, so a larger set starts with the smaller one. `area` is that of the box. A folder
    that already holds this very set is left as it is.

    Args:
        root: Folder to write to; must be new, empty, or hold the same set.
        train: Number of training images.
        val: Number of validation images.
        size: Image side in px, at least 64.
        seed: Of the scenes.
        outlines: Whether every object gets its box as a polygon, to try detectors with masks.
        recipe: `objects`, `mix` and `clutter` of `Recipe`.

    Raises:
        FpnProbeError: For numbers out of range or a folder with other content.

    >>> folder = make(Path(getfixture("tmp_path")) / "scenes", train=2, val=1, size=64)
    >>> sorted(path.name for path in folder.iterdir())
    ['annotations', 'images', 'scenes.json']
    """
    settings = check_settings(
        train=train, val=val, size=size, seed=seed, outlines=outlines, recipe=recipe
    )
    root = Path(root).expanduser()
    marker = root / "scenes.json"
    if marker.is_file() and json.loads(marker.read_text()) == json.loads(json.dumps(settings)):
        return root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FpnProbeError(f"{root} holds something else: expected a new or empty folder")
    try:
        (root / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FpnProbeError(
            f"cannot write {root}: {error.strerror}; choose a folder that you can write to"
        ) from error
    scene_recipe = Recipe(size=size, **recipe)
    with _one_thread():
        for number, (split, count) in enumerate(zip(_SPLITS, (train, val), strict=True)):
            content = _write_split(root / "images", split, count, scene_recipe, [seed, number])
            if outlines:
                for annotation in content["annotations"]:
                    x, y, w, h = annotation["bbox"]
                    annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            atomic.write_json(root / "annotations" / f"{split}.json", content)
    atomic.write_json(marker, settings)
    return root


def cached(
    *,
    train: int = 800,
    val: int = 200,
    size: int = 192,
    seed: int = 0,
    outlines: bool = False,
    **recipe: Any,
) -> Path:
    """`make` in the cache folder, once per set of arguments; safe for processes side by side."""
    settings = check_settings(
        train=train, val=val, size=size, seed=seed, outlines=outlines, recipe=recipe
    )
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    parent = cache.folder() / "scenes"
    target = parent / f"{size}px-{train}-{val}-{key}"
    if (target / "scenes.json").is_file():
        return target
    try:
        parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=parent, prefix=".making-"))
    except OSError as error:
        raise FpnProbeError(
            f"cannot write the cache {parent}: {error.strerror}; set FPNPROBE_CACHE to a folder "
            "that you can write to"
        ) from error
    try:
        make(work, train=train, val=val, size=size, seed=seed, outlines=outlines, **recipe)
        work.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was faster, with the same bytes
            work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _write_split(
    folder: Path, split: str, count: int, recipe: Recipe, seed: list[int]
) -> dict[str, Any]:
    """Write the images of a split and return its annotation file."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        picture, objects = draw_scene(recipe, np.random.default_rng([*seed, index]))
        name = f"{split}_{index:06d}.jpg"
        _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        (folder / name).write_bytes(encoded.tobytes())
        size = {"width": recipe.size, "height": recipe.size}
        images.append({"id": index + 1, "file_name": name, **size})
        for label, (x1, y1, x2, y2) in objects:
            box = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
            annotation = {"image_id": index + 1, "category_id": label + 1, "bbox": box}
            area = round(box[2] * box[3], 2)
            annotations.append(
                {"id": len(annotations) + 1, **annotation, "area": area, "iscrowd": 0}
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    info = {"description": "fpnprobe scale scenes", "version": str(VERSION)}
    return {"info": info, "images": images, "annotations": annotations, "categories": categories}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV's threads cost more than they save on small images."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
