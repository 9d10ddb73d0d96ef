"""A smaller data set cut out of a COCO folder, always the same one."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fpnprobe.data import coco
from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic

_SPLITS = ("train", "val")


def frequent_classes(content: coco.Content, count: int) -> tuple[str, ...]:
    """Names of the `count` categories with the most objects, in the order of the file.

    Raises:
        FpnProbeError: if there are fewer categories.
    """
    categories = content["categories"]
    if not 1 <= count <= len(categories):
        raise FpnProbeError(f"{count} classes asked for, the data has {len(categories)}")
    objects = Counter(
        entry["category_id"] for entry in content["annotations"] if not entry["iscrowd"]
    )
    order = sorted(categories, key=lambda category: (-objects[category["id"]], category["id"]))
    chosen = {category["id"] for category in order[:count]}
    return tuple(category["name"] for category in categories if category["id"] in chosen)


def select(
    content: coco.Content,
    *,
    images: int | None = None,
    classes: Sequence[str] | None = None,
    min_objects: int = 0,
    seed: int = 0,
) -> coco.Content:
    """A COCO file with fewer images and classes; ids stay, `content` is not changed.

    Images are ranked by a hash of the seed and their file name, so the choice depends on nothing
    else and a larger subset contains the smaller one.

    Args:
        content: A COCO file, as `coco.read` gives it.
        images: Most images to keep; None for all.
        classes: Names of the categories to keep; None for all.
        min_objects: Fewest objects (no crowds) of the kept classes that an image must have.
        seed: Another seed, another choice.

    Raises:
        FpnProbeError: for a class that does not exist, a number too small, or if no image is left.
    """
    if (images is not None and images < 1) or min_objects < 0:
        raise FpnProbeError(
            f"images={images}, min_objects={min_objects}: expected at least 1 image (or all) and "
            "no negative number of objects"
        )
    names = [category["name"] for category in content["categories"]]
    unknown = [name for name in classes or () if name not in names]
    if unknown:
        raise FpnProbeError(f"no class {unknown[0]!r} in the data; there is: {', '.join(names)}")
    kept = [c for c in content["categories"] if classes is None or c["name"] in classes]
    ids = {category["id"] for category in kept}
    annotations = [entry for entry in content["annotations"] if entry["category_id"] in ids]
    objects = Counter(entry["image_id"] for entry in annotations if not entry["iscrowd"])
    enough = [image for image in content["images"] if objects[image["id"]] >= min_objects]
    ranked = sorted(enough, key=lambda image: _rank(seed, str(image["file_name"])))
    chosen = {image["id"] for image in ranked[:images]}
    if not chosen:
        raise FpnProbeError(
            f"no image is left: images={images}, min_objects={min_objects}, "
            f"classes={', '.join(classes or ['all'])}"
        )
    return {
        **{key: value for key, value in content.items() if key in ("info", "licenses")},
        "images": [image for image in content["images"] if image["id"] in chosen],
        "annotations": [entry for entry in annotations if entry["image_id"] in chosen],
        "categories": kept,
    }


def make(
    root: str | Path,
    target: str | Path,
    *,
    images: int | None = None,
    val_images: int | None = None,
    classes: int | None = None,
    min_objects: int = 1,
    seed: int = 0,
    link: bool = False,
) -> Path:
    """Write a COCO folder with a subset of both splits; the classes are the training split's.

    `link` makes symbolic links to the image files instead of copies.

    Raises:
        FpnProbeError: for bad input, or a target that is not new or empty.
    """
    folder = Path(target).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FpnProbeError(f"{folder} holds something else: expected a new or empty folder")
    source = Path(root).expanduser() / "images"
    names: tuple[str, ...] | None = None
    for split, count in zip(_SPLITS, (images, val_images), strict=True):
        content, _ = coco.read(root, split)
        if classes is not None and names is None:
            names = frequent_classes(content, classes)
        part = select(content, images=count, classes=names, min_objects=min_objects, seed=seed)
        for image in part["images"]:
            _copy(source / image["file_name"], folder / "images" / image["file_name"], link=link)
        atomic.write_json(folder / "annotations" / f"{split}.json", part)
    return folder


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _copy(source: Path, target: Path, *, link: bool) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # an image of both splits
            return
        if link:
            target.symlink_to(source.resolve())
        else:
            shutil.copyfile(source, target)
    except OSError as error:
        raise FpnProbeError(f"cannot copy {source} to {target}: {error.strerror}") from error
