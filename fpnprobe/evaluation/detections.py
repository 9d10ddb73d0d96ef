"""Detections in columns, read from COCO result files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.documents import read_json
from fpnprobe.evaluation.ground_truth import (
    Floats,
    GroundTruth,
    Ints,
    boxes_of,
    column,
    index_of,
)
from fpnprobe.evaluation.masks import encode, mask_areas


@dataclass(frozen=True, slots=True, repr=False)
class Detections:
    """A detector's output on the images of a ground truth, as columns in file order.

    `image` and `category` (D,) index `GroundTruth.image_ids` and `.category_ids`; `boxes` (D, 4)
    are x, y, width, height in px; `areas` (D,) px^2, of the box or, for masks, of the mask;
    `scores` (D,). `masks` holds compressed RLEs, and is empty where boxes are evaluated.
    """

    image: Ints
    category: Ints
    boxes: Floats
    areas: Floats
    scores: Floats
    masks: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"Detections({len(self.image)} boxes on {len(np.unique(self.image))} images)"

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def of(
        cls,
        source: "str | Path | Sequence[Any] | Detections",
        *,
        ground_truth: GroundTruth,
        iou_type: str = "bbox",
    ) -> "Detections":
        """Read a path or a list of COCO result dictionaries; detections pass through.

        Raises:
            FpnProbeError: if an entry is malformed or names an unknown image or category.
        """
        if isinstance(source, Detections):
            return source
        where = str(source) if isinstance(source, str | Path) else "the detections"
        content = read_json(source) if isinstance(source, str | Path) else source
        if not isinstance(content, list):
            raise FpnProbeError(
                f"{where} holds a {type(content).__name__}, expected a list of COCO results "
                "(image_id, category_id, bbox, score)"
            )
        scores = column(content, "score", where)
        if not np.isfinite(scores).all():
            raise FpnProbeError(f"{where}: a score is not finite, expected a number")
        image = index_of(
            column(content, "image_id", where, int), ground_truth.image_ids, "image", where
        )
        category = index_of(
            column(content, "category_id", where, int),
            ground_truth.category_ids,
            "category",
            where,
        )
        boxes: Floats
        masks: tuple[Any, ...]
        if iou_type == "segm":
            masks = encode(
                [entry.get("segmentation") for entry in content], ground_truth.sizes[image], where
            )
            boxes, areas = np.zeros((len(content), 4)), mask_areas(masks)
        else:
            masks, boxes = (), boxes_of(content, where)
            areas = boxes[:, 2] * boxes[:, 3]
        return cls(
            image=image, category=category, boxes=boxes, areas=areas, scores=scores, masks=masks
        )
