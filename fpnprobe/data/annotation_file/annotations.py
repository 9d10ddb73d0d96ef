"""The one reader of annotation files: COCO's detection format, typed, in columns.

Everything that needs annotations reads them through here: the check, training, decoding, areas,
evaluation, attribution and subsets. `read` refuses what has no clear meaning in one line, and keeps
the rest as it is; `usable`, beside, then clips boxes and leaves out what cannot be used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.data.annotation_file import documents
from fpnprobe.data.annotation_file.identity import Keys
from fpnprobe.data.annotation_file.masks import Masks
from fpnprobe.data.annotation_file.objects import ObjectColumns
from fpnprobe.data.annotation_file.pictures import CategoryColumns, ImageColumns
from fpnprobe.errors import FpnProbeError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PARTS = ("images", "annotations", "categories")
FOLDER_KEY = "fpnprobe_images"  # of a file that we wrote: folder of its images, from the root
AREAS = ("box",)


@dataclass(frozen=True, slots=True, repr=False)
class Annotations:
    """A COCO annotation file in columns, in the order of the file.

    Images and categories are known by their place; `image` and `category` are places, too.

    Attributes:
        where: name of the file.
        image_keys: ids of the images, (I,).
        image_names: their file names, "" where there is none.
        sizes: their height and width in px, (I, 2); 0 where unknown.
        category_keys: ids of the categories, (K,).
        category_names: their names, "" where there is none.
        image: place of each object's image, (G,).
        category: place of its category, (G,).
        boxes: x, y, width, height in px, (G, 4).
        areas: px^2 of the original image, (G,).
        crowd: whether it is a region of many objects, which counts neither way, (G,).
        ignore: whether the file says that it is not to be used, (G,).
        masks: its polygons or run lengths.
        entry: number in the file, (G,).
        short: places of objects with an outline of fewer than three points, which is left out.
        mask_problem: what is wrong with a mask, or None.
        folder: of the images, from the data's root, where the file says so.
        area_of_box: whether `areas` are those of the boxes, because the caller said so.
        other: `info` and `licenses` as they are.
    """

    where: str
    image_keys: Keys
    image_names: tuple[str, ...]
    sizes: Ints
    category_keys: Keys
    category_names: tuple[str, ...]
    image: Ints
    category: Ints
    boxes: Floats
    areas: Floats
    crowd: Bools
    ignore: Bools
    masks: Masks
    entry: Ints
    short: Ints
    mask_problem: str | None = None
    folder: str | None = None
    area_of_box: bool = False
    repeated_ids: int = 0
    other: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"Annotations({len(self.image_keys)} images, {len(self.category_keys)} categories, "
            f"{len(self.image)} objects)"
        )

    def take(self, rows: npt.NDArray[Any]) -> "Annotations":
        """The same images with some of the objects."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        is_short = np.isin(rows, self.short)
        return replace(
            self,
            image=self.image[rows],
            category=self.category[rows],
            boxes=self.boxes[rows],
            areas=self.areas[rows],
            crowd=self.crowd[rows],
            ignore=self.ignore[rows],
            masks=self.masks.take(rows),
            entry=self.entry[rows],
            short=np.flatnonzero(is_short),
        )

    def take_images(self, places: Ints) -> "Annotations":
        """Some of the images, in the order of the file, with their objects."""
        places = np.sort(places)
        new = np.full(len(self.image_keys), -1, dtype=np.int64)
        new[places] = np.arange(len(places))
        selection = self.take(new[self.image] >= 0)
        return replace(
            selection,
            image=new[selection.image],
            image_keys=Keys(tuple(self.image_keys.values[i] for i in places)),
            image_names=tuple(self.image_names[i] for i in places),
            sizes=self.sizes[places],
        )

    def take_categories(self, places: Iterable[int]) -> "Annotations":
        """Some of the categories, in the given order, with their objects."""
        chosen = list(places)
        new = np.full(len(self.category_keys), -1, dtype=np.int64)
        new[chosen] = np.arange(len(chosen))
        selection = self.take(new[self.category] >= 0)
        return replace(
            selection,
            category=new[selection.category],
            category_keys=Keys(tuple(self.category_keys.values[i] for i in chosen)),
            category_names=tuple(self.category_names[i] for i in chosen),
        )

    def with_categories(self, names: Sequence[str]) -> "Annotations":
        """Exactly the categories of these names, in this order; new ones have no objects."""
        index_of = {name: place for place, name in enumerate(self.category_names)}
        selection = self.take_categories([index_of[name] for name in names if name in index_of])
        if len(selection.category_names) == len(names):
            return selection
        order = [names.index(name) for name in selection.category_names]
        numbers = [key for key in selection.category_keys.values if type(key) is int]
        new = iter(range(max(numbers, default=0) + 1, max(numbers, default=0) + 1 + len(names)))
        keys = dict(zip(selection.category_names, selection.category_keys.values, strict=True))
        return replace(
            selection,
            category=np.array(order, dtype=np.int64)[selection.category],
            category_keys=Keys(tuple(keys[name] if name in keys else next(new) for name in names)),
            category_names=tuple(names),
        )

    def name_of(self, row: int) -> str:
        """An object for a message: its place in the file, from 0."""
        return f"annotations[{int(self.entry[row])}]"


def read(path: str | Path, *, area: str | None = None) -> Annotations:
    """Read an annotation file, `.json` or `.json.gz`.

    Args:
        path: the file.
        area: "box" takes the area of an object from its box, for data that have none.

    Raises:
        FpnProbeError: one line that names the file, the first bad entry, and how many there are.
    """
    return parse(documents.read_text(path), str(path), area=area)


def parse(text: str, where: str, *, area: str | None = None) -> Annotations:
    """Annotations from the text of a file; see `read`."""
    columns = _Columns(where, area)
    document = documents.scan(text, where, columns.takers())
    return columns.finish(document)


def of(content: Mapping[str, Any], where: str, *, area: str | None = None) -> Annotations:
    """Annotations from a COCO dictionary; see `read`."""
    if not isinstance(content, Mapping):
        raise FpnProbeError(f"{where} holds a {type(content).__name__}, expected a COCO dictionary")
    columns = _Columns(where, area)
    document = dict(content)
    for list_name, take in columns.takers().items():
        if isinstance(content.get(list_name), list):
            for entry in content[list_name]:
                take(entry)
            document[list_name] = len(content[list_name])
    return columns.finish(document)


class _Columns:
    """The three lists of a file while they are read, in whatever order they stand there."""

    def __init__(self, where: str, area: str | None) -> None:
        if area is not None and area not in AREAS:
            raise FpnProbeError(f"area={area!r}: expected 'box', or nothing for the file's `area`")
        self.where, self.area = where, area
        self.images = ImageColumns(where)
        self.categories = CategoryColumns(where)
        self.objects = ObjectColumns(where, area_of_box=area == "box")

    def takers(self) -> dict[str, Any]:
        return {
            "images": self.images.add,
            "annotations": self.objects.add,
            "categories": self.categories.add,
        }

    def finish(self, document: Mapping[str, Any]) -> Annotations:
        for list_name in PARTS:
            if type(document.get(list_name)) is not int:
                raise FpnProbeError(
                    f"{self.where} has no list {list_name!r}: expected COCO's detection format"
                )
        image_keys, names, sizes = self.images.finish()
        category_keys, category_names = self.categories.finish()
        columns = self.objects.finish(image_keys, category_keys, sizes)
        folder = document.get(FOLDER_KEY)
        return Annotations(
            where=self.where,
            image_keys=image_keys,
            image_names=names,
            sizes=sizes,
            category_keys=category_keys,
            category_names=category_names,
            folder=folder if isinstance(folder, str) else None,
            area_of_box=self.area == "box",
            other={key: document[key] for key in ("info", "licenses") if key in document},
            **columns,
        )
