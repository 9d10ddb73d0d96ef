"""Ground truth in columns: what the engines, the matching and the bootstrap all read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.documents import read_json

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, repr=False)
class GroundTruth:
    """The objects of a COCO annotation file as columns, in file order.

    `image_ids` (I,) and `category_ids` (K,) are sorted; `image` and `category` (G,) index them.
    `boxes` (G, 4) are x, y, width, height in px; `areas` (G,) px^2 of the original image, the
    annotation's own `area`; `crowd` (G,) marks regions that count neither way. `sizes` (I, 2)
    height and width. `segmentations` holds polygons or RLEs, `None` where an object has no mask.

    >>> GroundTruth.of({"images": [{"id": 7}], "categories": [{"id": 1, "name": "ring"}],
    ...     "annotations": [{"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 50}]})
    GroundTruth(1 images, 1 categories, 1 objects)
    """

    image_ids: Ints
    sizes: Ints
    category_ids: Ints
    category_names: tuple[str, ...]
    image: Ints
    category: Ints
    boxes: Floats
    areas: Floats
    crowd: Bools
    segmentations: tuple[Any, ...]

    def __repr__(self) -> str:
        return (
            f"GroundTruth({len(self.image_ids)} images, {len(self.category_ids)} categories, "
            f"{len(self.image)} objects)"
        )

    @classmethod
    def of(cls, source: "str | Path | Mapping[str, Any] | GroundTruth") -> "GroundTruth":
        """Read a path or a COCO dictionary; ground truth passes through.

        Raises:
            FpnProbeError: if it is not COCO ground truth, naming the first thing that is wrong.
        """
        if isinstance(source, GroundTruth):
            return source
        if isinstance(source, Mapping):
            return _columns(source, "the annotations")
        return _columns(read_json(source), str(source))


def index_of(ids: Ints, known: Ints, what: str, where: str) -> Ints:
    """Position of each id in the sorted `known`, or an error that names the first stranger."""
    position = np.searchsorted(known, ids)
    strange = (
        known[np.minimum(position, len(known) - 1)] != ids
        if len(known)
        else np.ones(len(ids), dtype=bool)
    )
    if strange.any():
        raise FpnProbeError(
            f"{where}: entry {int(strange.argmax())} points to {what} "
            f"{int(ids[strange.argmax()])}, which is not in the annotation file"
        )
    return position.astype(np.int64)


def column(entries: list[Any], key: str, where: str, kind: type = float) -> Any:
    """One field of all entries as an array; missing or non-numeric fields raise."""
    try:
        values = np.array([entry[key] for entry in entries])
    except (KeyError, TypeError, ValueError) as error:
        raise FpnProbeError(
            f"{where}: every entry needs a numeric {key!r} ({type(error).__name__}: {error})"
        ) from error
    whole = values.dtype.kind in "iu" or (
        values.dtype.kind == "f" and np.array_equal(values, np.trunc(values))
    )
    if values.dtype.kind not in "iuf" or (kind is int and not whole):
        raise FpnProbeError(
            f"{where}: every entry needs {'an integer' if kind is int else 'a numeric'} {key!r}"
        )
    return values.astype(np.int64 if kind is int else np.float64)


def boxes_of(entries: list[Any], where: str) -> Floats:
    """Boxes (N, 4) as x, y, width, height in px, checked to be finite and not negative."""
    boxes: Floats = column(entries, "bbox", where)
    if len(entries) and boxes.shape[1:] != (4,):
        raise FpnProbeError(f"{where}: every bbox needs 4 numbers: x, y, width, height")
    boxes = boxes.reshape(-1, 4)
    bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if bad.any():
        raise FpnProbeError(
            f"{where}: entry {int(bad.argmax())} has the bbox {boxes[bad.argmax()].tolist()}, "
            "expected finite numbers with width and height >= 0"
        )
    return boxes


def _columns(content: Any, where: str) -> GroundTruth:
    if not isinstance(content, Mapping):
        raise FpnProbeError(f"{where} holds a {type(content).__name__}, expected a COCO dictionary")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise FpnProbeError(f"{where} has no list {key!r}: expected COCO annotations")
    images, categories = content["images"], content["categories"]
    entries = content["annotations"]
    image_ids = column(images, "id", f"{where}, images", int)
    category_ids = column(categories, "id", f"{where}, categories", int)
    for what, ids in (("image", image_ids), ("category", category_ids)):
        if len(np.unique(ids)) < len(ids):
            raise FpnProbeError(f"{where}: an {what} id appears twice, expected unique ids")
    by_image, by_category = np.argsort(image_ids), np.argsort(category_ids)
    areas = column(entries, "area", f"{where}, annotations")
    if not np.isfinite(areas).all() or (areas < 0).any():
        raise FpnProbeError(f"{where}: an area is negative or not finite, expected px^2 >= 0")
    spot = f"{where}, annotations"
    return GroundTruth(
        image_ids=image_ids[by_image],
        sizes=np.array(
            [(images[i].get("height", 0), images[i].get("width", 0)) for i in by_image],
            dtype=np.int64,
        ).reshape(-1, 2),
        category_ids=category_ids[by_category],
        category_names=tuple(str(categories[i].get("name", "")) for i in by_category),
        image=index_of(column(entries, "image_id", spot, int), image_ids[by_image], "image", spot),
        category=index_of(
            column(entries, "category_id", spot, int), category_ids[by_category], "category", spot
        ),
        boxes=boxes_of(entries, spot),
        areas=areas,
        crowd=np.array([bool(entry.get("iscrowd", 0)) for entry in entries], dtype=bool),
        segmentations=tuple(entry.get("segmentation") for entry in entries),
    )
