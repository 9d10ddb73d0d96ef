"""Ground truth in columns: what the engines, the matching and the bootstrap all read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.data.annotation_file import reader
from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.data.annotation_file.identity import Key, Keys
from fpnprobe.data.annotation_file.masks import Masks
from fpnprobe.errors import FpnProbeError

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
    `image_keys` and `category_keys` are what the file calls them where that is not a plain number.
    `mask_problem` says what is wrong with a mask, which matters where masks are evaluated;
    `unmasked` counts the objects that have none there, and so count neither way.

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
    segmentations: Sequence[Any]
    image_keys: tuple[Key, ...] = ()
    category_keys: tuple[Key, ...] = ()
    mask_problem: str | None = None
    unmasked: int = 0

    def __repr__(self) -> str:
        return (
            f"GroundTruth({len(self.image_ids)} images, {len(self.category_ids)} categories, "
            f"{len(self.image)} objects)"
        )

    @classmethod
    def of(
        cls,
        source: "str | Path | Mapping[str, Any] | GroundTruth | Annotations",
        *,
        iou_type: str = "bbox",
        area: str | None = None,
    ) -> "GroundTruth":
        """Read a path or a COCO dictionary; ground truth passes through.

        Args:
            source: See above.
            iou_type: For "segm" see `with_masks`.
            area: "box" takes the area of an object from its box, for data that have none.

        Raises:
            FpnProbeError: If it is not COCO ground truth, naming the first thing that is wrong.
        """
        if isinstance(source, GroundTruth):
            truth = source
        elif isinstance(source, Annotations):
            truth = _from_annotations(source)
        elif isinstance(source, str | Path):
            truth = _from_annotations(reader.read(source, area=area))
        else:
            truth = _from_annotations(reader.of(source, "the annotations", area=area))
        return truth.with_masks() if iou_type == "segm" else truth

    def images_named(self) -> Keys:
        """Return the keys by which detections name the images, in the order of `image_ids`."""
        return Keys(self.image_keys or tuple(self.image_ids.tolist()))

    def categories_named(self) -> Keys:
        """Return the keys by which detections name the categories, in their order."""
        return Keys(self.category_keys or tuple(self.category_ids.tolist()))

    def with_masks(self) -> "GroundTruth":
        """The same where every object has a mask, to be judged by masks.

        An object without a mask counts neither way, as a crowd does: detections within its box are
        no mistakes.

        Raises:
            FpnProbeError: If a mask cannot be used, or no object has one.
        """
        if self.mask_problem is not None:
            raise FpnProbeError(self.mask_problem)
        masks = self.segmentations
        if isinstance(masks, Masks):
            present = masks.present()
        else:
            present = np.array([bool(mask) for mask in masks], dtype=np.bool_)
        if present.all():
            return self
        if not present.any():
            raise FpnProbeError(
                f"none of the {len(present)} objects has a usable segmentation, which "
                "iou_type='segm' needs: evaluate boxes, or use data with masks"
            )
        return replace(
            self,
            crowd=self.crowd | ~present,
            segmentations=[
                masks[row] if present[row] else _outline_box(self.boxes[row])
                for row in range(len(present))
            ],
            unmasked=int((~present).sum()),
        )


def _outline_box(box: Floats) -> list[list[float]]:
    left, top, width, height = box.tolist()
    right, bottom = left + width, top + height
    return [[left, top, right, top, right, bottom, left, bottom]]


def _from_annotations(table: Annotations) -> GroundTruth:
    by_image, by_category = table.image_keys.order(), table.category_keys.order()
    return GroundTruth(
        image_ids=table.image_keys.numbers[by_image],
        sizes=table.sizes[by_image].reshape(-1, 2),
        category_ids=table.category_keys.numbers[by_category],
        category_names=tuple(table.category_names[i] for i in by_category),
        image=_invert_order(by_image)[table.image],
        category=_invert_order(by_category)[table.category],
        boxes=table.boxes,
        areas=table.areas,
        crowd=table.crowd,
        segmentations=table.masks,
        image_keys=_unless_plain(table.image_keys, by_image),
        category_keys=_unless_plain(table.category_keys, by_category),
        mask_problem=table.mask_problem,
    )


def _unless_plain(keys: Keys, order: list[int]) -> tuple[Key, ...]:
    return () if keys.plain else tuple(keys.values[i] for i in order)


def _invert_order(order: list[int]) -> Ints:
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places
