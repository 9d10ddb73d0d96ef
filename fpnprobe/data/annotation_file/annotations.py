"""Annotations of a data set, typed, in columns; `reader`, beside, makes them from a file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.data.annotation_file.identity import Keys
from fpnprobe.data.annotation_file.masks import Masks

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, repr=False)
class Annotations:
    """A COCO annotation file in columns, in the order of the file.

    Images and categories are known by their place; `image` and `category` are places, too.

    Attributes:
        where: Name of the file.
        image_keys: Ids of the images, (I,).
        image_names: Their file names, "" where there is none.
        sizes: Their height and width in px, (I, 2); 0 where unknown.
        category_keys: Ids of the categories, (K,).
        category_names: Their names, "" where there is none.
        image: Place of each object's image, (G,).
        category: Place of its category, (G,).
        boxes: x, y, width, height in px, (G, 4).
        areas: px^2 of the original image, (G,).
        crowd: Whether it is a region of many objects, which counts neither way, (G,).
        ignore: Whether the file says that it is not to be used, (G,).
        masks: Its polygons or run lengths.
        entry: Number in the file, (G,).
        short: Places of objects with an outline of fewer than three points, which is left out.
        mask_problem: What is wrong with a mask, or None.
        folder: Of the images, from the data's root, where the file says so.
        area_of_box: Whether `areas` are those of the boxes, because the caller said so.
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
