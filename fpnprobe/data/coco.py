"""A data folder: find a split, read it, check it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fpnprobe import scales
from fpnprobe.data.annotation_file.problems import Notice
from fpnprobe.data.image_files import images
from fpnprobe.data.splits import Split, open_split
from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class CocoSummary:
    """The content of a split, counted after every check has passed.

    Attributes:
        root: The data folder.
        split: "train" or "val", or the name of an annotation file.
        layout: Which layout the folder has.
        annotations: The annotation file, from `root`.
        folder: The folder of the images, from `root`.
        images: Number of images.
        objects: Number of annotations that are used and are not crowds.
        crowds: Number of crowd regions.
        categories: Names in the order of the file.
        empty: Names of categories without an object; they are fine.
        scales: Objects per COCO bucket of `area`: small, medium, large.
        left_out: Annotations that are not used.
        clipped: Boxes that stuck out of their image and were clipped.
        masks: Whether every object has a segmentation.
        with_masks: Number of objects that have one.
        decoded: Whether every image was decoded. Of a large set, plain JPEG and PNG files are
            believed by their header and ending unless `decode` is asked for.
        warnings: Lines for the user.
    """

    root: str
    split: str
    layout: str
    annotations: str
    folder: str
    images: int
    objects: int
    crowds: int
    categories: tuple[str, ...]
    empty: tuple[str, ...]
    scales: dict[str, int]
    left_out: int
    clipped: int
    masks: bool
    with_masks: int
    decoded: bool
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def check(
    root: str | Path,
    split: str,
    *,
    area: str | None = None,
    decode: bool = False,
    on_file: Callable[[], None] = lambda: None,
) -> CocoSummary:
    """Check everything about a split, also that its image files are there and are whole images.

    The result for the image files is remembered until one of them changes.

    Args:
        root: The data folder.
        split: "train", "val", or the name of an annotation file.
        area: See `open_split`.
        decode: See `fpnprobe.data.image_files.images.check`.
        on_file: Called once for each image file that is opened.

    Raises:
        FpnProbeError: See `open_split`; and for image files that are missing, cut off or no images.
    """
    opened = open_split(root, split, area=area)
    notices = opened.check_images(decode=decode, on_file=on_file)
    return summarize(opened, notices, decoded=decode or None)


def check_splits(
    root: str | Path, names: Sequence[str], *, area: str | None = None, decode: bool = False
) -> list[CocoSummary]:
    """Check several splits; what later ones share with the first is a warning. See `check`."""
    opened = [open_split(root, name, area=area) for name in names]
    return [
        summarize(
            split,
            (*split.check_images(decode=decode), *split.images_of(opened[0])),
            decoded=decode or None,
        )
        for split in opened
    ]


def summarize(
    split: Split, notices: Sequence[Notice] = (), *, decoded: bool | None = None
) -> CocoSummary:
    """Count what a split holds; `notices` are those of its image files.

    `decoded` says whether these were decoded; by default, whether they are by default.

    Raises:
        FpnProbeError: If it has no object.
    """
    annotations = split.annotations
    single = ~annotations.crowd
    if not single.any():
        raise FpnProbeError(f"{split.file} has no object: nothing to learn from")
    counts = np.bincount(annotations.category[single], minlength=len(annotations.category_names))
    names = annotations.category_names
    buckets = np.bincount(
        scales.bucket_index(annotations.areas[single]), minlength=len(scales.COCO_BUCKETS)
    )
    masked = int((annotations.masks.present() & single).sum())
    clipped = sum(
        notice.count for notice in split.notices if notice.sentence.endswith("were clipped")
    )
    return CocoSummary(
        root=str(split.root),
        split=split.name,
        layout=split.layout,
        annotations=_relative_to(split.root, split.file),
        folder=_relative_to(split.root, split.folder),
        images=len(annotations.image_keys),
        objects=int(single.sum()),
        crowds=int(annotations.crowd.sum()),
        categories=names,
        empty=tuple(name for name, count in zip(names, counts, strict=True) if not count),
        scales={bucket.name: int(buckets[i]) for i, bucket in enumerate(scales.COCO_BUCKETS)},
        left_out=split.objects_in_file - len(annotations.image),
        clipped=clipped,
        masks=masked == int(single.sum()),
        with_masks=masked,
        decoded=images.is_small(split.folder, annotations.image_names)
        if decoded is None
        else decoded,
        warnings=tuple(f"{split.name}: {notice.line()}" for notice in (*split.notices, *notices)),
    )


def _relative_to(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
