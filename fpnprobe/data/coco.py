"""A data folder: find a split, read it, check it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fpnprobe import scales
from fpnprobe.data import images, layouts
from fpnprobe.data.annotations import Annotations
from fpnprobe.data.annotations import read as read_annotations
from fpnprobe.data.problems import Notice, shown
from fpnprobe.data.usable import usable
from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class CocoSummary:
    """What a split holds, after every check has passed.

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


@dataclass(frozen=True, slots=True)
class Split:
    """A split of a data folder, read: what is used of its annotations, and where its images are.

    Attributes:
        root: the data folder.
        name: of the split.
        layout: which layout the folder has.
        file: its annotation file.
        folder: of its images.
        annotations: what is used.
        notices: what was left out or changed while reading.
        objects_in_file: number of annotations in the file, used or not.
    """

    root: Path
    name: str
    layout: str
    file: Path
    folder: Path
    annotations: Annotations
    notices: tuple[Notice, ...]
    objects_in_file: int

    @property
    def changed(self) -> bool:
        """Whether the file itself does not say what is used: readers need a written part."""
        annotations = self.annotations
        return bool(
            self.notices
            or annotations.area_of_box
            or not annotations.image_keys.plain
            or not annotations.category_keys.plain
        )

    def paths(self) -> tuple[Path, ...]:
        """The image files, in order."""
        return tuple(self.folder / name for name in self.annotations.image_names)

    def check_images(
        self, *, decode: bool = False, on_file: Callable[[], None] = lambda: None
    ) -> tuple[Notice, ...]:
        """Check the image files; see `fpnprobe.data.images.check`."""
        annotations = self.annotations
        return images.check(
            self.folder, annotations.image_names, annotations.sizes, decode=decode, on_file=on_file
        )

    def content_hash(self) -> str:
        """Hash of the annotation file's bytes, and name and length of each image file.

        The pixels are not read, so it takes seconds also for COCO; a copy elsewhere hashes the
        same.
        """
        with self.file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        annotations = self.annotations
        names, sizes = annotations.image_names, annotations.sizes
        digest.update(images.fingerprint(self.folder, names, sizes, times=False).encode())
        return digest.hexdigest()


def annotation_file(root: str | Path, split: str) -> Path:
    """The annotation file of a split, in whatever layout; see `fpnprobe.data.layouts`."""
    return layouts.find_layout(root, split).annotations


def open_split(root: str | Path, split: str, *, area: str | None = None) -> Split:
    """Read a split; image files are not opened (`Split.check_images` does that).

    Args:
        root: the data folder.
        split: "train", "val", or the name of an annotation file.
        area: "box" takes the area of an object from its box, for data that have none.

    Raises:
        FpnProbeError: one line that names the file, the first bad entry, and how many there are.
    """
    layout = layouts.find_layout(root, split)
    annotations = read_annotations(layout.annotations, area=area)
    usable_annotations, notices = usable(annotations)
    folder = image_folder(layout.root, layout.annotations, usable_annotations)
    return Split(
        root=layout.root,
        name=split,
        layout=layout.name,
        file=layout.annotations,
        folder=folder,
        annotations=usable_annotations,
        notices=notices,
        objects_in_file=len(annotations.image),
    )


def image_folder(root: str | Path, file: str | Path, annotations: Annotations) -> Path:
    """Where the images of an annotation file lie: as the file says, or as the layout has it."""
    data_folder = Path(root).expanduser()
    if annotations.folder is not None:
        return data_folder / annotations.folder
    return layouts.find_images(data_folder, Path(file), annotations.image_names)


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
        root: the data folder.
        split: "train", "val", or the name of an annotation file.
        area: see `open_split`.
        decode: see `fpnprobe.data.images.check`.
        on_file: called once for each image file that is opened.

    Raises:
        FpnProbeError: see `open_split`; and for image files that are missing, cut off or no images.
    """
    opened = open_split(root, split, area=area)
    notices = opened.check_images(decode=decode, on_file=on_file)
    return summarize(opened, notices, decoded=decode or None)


def summarize(
    split: Split, notices: Sequence[Notice] = (), *, decoded: bool | None = None
) -> CocoSummary:
    """What a split holds; `notices` are those of its image files.

    `decoded` says whether these were decoded; by default, whether they are by default.

    Raises:
        FpnProbeError: if it has no object.
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
        annotations=_from(split.root, split.file),
        folder=_from(split.root, split.folder),
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


def _from(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def match_categories(train: Split, val: Split) -> Split:
    """The validation split with the categories of the training split, in their order.

    A category that only the training has is added, without objects; one that only the validation
    has is left out if it has no object there.

    Raises:
        FpnProbeError: if the validation has objects of a category that is not trained.
    """
    names, annotations = train.annotations.category_names, val.annotations
    if annotations.category_names == names:
        return val
    objects = np.bincount(
        annotations.category[~annotations.crowd], minlength=len(annotations.category_names)
    )
    strange = [i for i, name in enumerate(annotations.category_names) if name not in names]
    occupied = [i for i in strange if objects[i]]
    if occupied:
        first = annotations.category_names[occupied[0]]
        raise FpnProbeError(
            f"{val.file}: {int(objects[occupied].sum())} objects are of {len(occupied)} categories "
            f"that {train.file} does not have (first: {shown(first)}, {objects[occupied[0]]} "
            "objects): use the same categories in both"
        )
    return replace(val, annotations=annotations.with_categories(names))
