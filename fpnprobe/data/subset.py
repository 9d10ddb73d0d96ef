"""A smaller data set cut out of a data folder, always the same one."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fpnprobe.data import splits
from fpnprobe.data.annotation_file import parts
from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.data.annotation_file.usable import with_plain_ids
from fpnprobe.errors import FpnProbeError

_SPLITS = ("train", "val")


def frequent_classes(content: Annotations, count: int) -> tuple[str, ...]:
    """Names of the `count` categories with the most objects, in the order of the file.

    Raises:
        FpnProbeError: If there are fewer categories.
    """
    names = content.category_names
    if not 1 <= count <= len(names):
        raise FpnProbeError(f"{count} classes asked for, the data has {len(names)}")
    objects = np.bincount(content.category[~content.crowd], minlength=len(names))
    numbers = content.category_keys.numbers
    most_frequent = sorted(range(len(names)), key=lambda i: (-objects[i], numbers[i]))[:count]
    return tuple(names[i] for i in sorted(most_frequent))


def select(
    content: Annotations,
    *,
    images: int | None = None,
    classes: Sequence[str] | None = None,
    min_objects: int = 0,
    seed: int = 0,
) -> Annotations:
    """Annotations with fewer images and classes; ids stay, `content` is not changed.

    Images are ranked by a hash of the seed and their file name, so the choice depends on nothing
    else and a larger subset contains the smaller one.

    Args:
        content: Annotations, as `splits.open_split` gives them.
        images: Most images to keep; None for all.
        classes: Names of the categories to keep; None for all.
        min_objects: Fewest objects (no crowds) of the kept classes that an image must have.
        seed: Another seed, another choice.

    Raises:
        FpnProbeError: For a class that does not exist, a number too small, or if no image is left.
    """
    if (images is not None and images < 1) or min_objects < 0:
        raise FpnProbeError(
            f"images={images}, min_objects={min_objects}: expected at least 1 image (or all) and "
            "no negative number of objects"
        )
    names = content.category_names
    unknown = [name for name in classes or () if name not in names]
    if unknown:
        raise FpnProbeError(f"no class {unknown[0]!r} in the data; there is: {', '.join(names)}")
    selection = content
    if classes is not None:
        selection = content.take_categories(i for i, name in enumerate(names) if name in classes)
    total = len(selection.image_keys)
    objects = np.bincount(selection.image[~selection.crowd], minlength=total)
    enough = np.flatnonzero(objects >= min_objects)
    if images is not None and images < len(enough):
        ranked = sorted(enough.tolist(), key=lambda i: _rank_image(seed, selection.image_names[i]))
        enough = np.array(ranked[:images], dtype=np.int64)
    if not len(enough):
        raise FpnProbeError(
            f"no image is left: images={images}, min_objects={min_objects}, "
            f"classes={', '.join(classes or ['all'])}"
        )
    return selection if len(enough) == total else selection.take_images(enough)


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
    area: str | None = None,
) -> Path:
    """Write a COCO folder with a subset of both splits; the classes are the training split's.

    `link` makes symbolic links to the image files instead of copies; `area` is that of
    `splits.open_split`.

    Raises:
        FpnProbeError: For bad input, or a target that is not new or empty.
    """
    folder = Path(target).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FpnProbeError(f"{folder} holds something else: expected a new or empty folder")
    names: tuple[str, ...] | None = None
    places: dict[str, Path] = {}
    for split, count in zip(_SPLITS, (images, val_images), strict=True):
        source = splits.open_split(root, split, area=area)
        if classes is not None and names is None:
            names = frequent_classes(source.annotations, classes)
        selection = select(
            source.annotations, images=count, classes=names, min_objects=min_objects, seed=seed
        )
        for name in selection.image_names:
            picture = source.folder / name
            if places.setdefault(name, picture) != picture:
                raise FpnProbeError(
                    f"both splits of {root} have an image named {name}, which the subset's one "
                    "folder cannot hold: rename the images of one split"
                )
            _copy_file(picture, folder / "images" / name, link=link)
        parts.write_part(
            folder / "annotations" / f"{split}.json",
            with_plain_ids(selection),
            root=folder,
            folder=folder / "images",
        )
    return folder


def _rank_image(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _copy_file(source: Path, target: Path, *, link: bool) -> None:
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
