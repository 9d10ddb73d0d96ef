"""Instance masks of an image as mmdet's detectors take them, from polygons or run lengths."""

from typing import Any

import numpy as np
import numpy.typing as npt
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from pycocotools import mask as rle

from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.data.annotation_file.masks import RUNS
from fpnprobe.data.annotation_file.run_lengths import decode_runs
from fpnprobe.errors import FpnProbeError

Ints = npt.NDArray[np.int64]


def load_masks(
    annotations: Annotations,
    rows: Ints,
    *,
    size: tuple[int, int],
    target: tuple[int, int],
    flip: bool,
    boxes: bool,
) -> BitmapMasks | PolygonMasks:
    """Load the masks of an image's objects: outlines, or bitmaps where one has run lengths.

    mmdet holds the masks of an image in one kind. Outlines stay outlines as long as all are: they
    are small, and are cut and scaled without loss.

    Args:
        annotations: With masks that were checked.
        rows: The objects, in `annotations`.
        size: Height and width of the image in px.
        target: The same after resizing.
        flip: Whether the image is mirrored.
        boxes: Whether an object without a mask has its box as its mask; otherwise it is an error.
    """
    masks = annotations.masks
    if (masks.kind[masks.row[rows]] == RUNS).any():
        bitmaps = [_draw_mask(annotations, int(row), size, boxes) for row in rows]
        loaded: Any = BitmapMasks(np.stack(bitmaps), *size)
    else:
        loaded = PolygonMasks([_find_outline(annotations, int(row), boxes) for row in rows], *size)
    loaded = loaded.resize(target)
    return loaded.flip("horizontal") if flip else loaded


def _find_outline(annotations: Annotations, row: int, boxes: bool) -> list[npt.NDArray[np.float64]]:
    """Give the polygons of an object, each x and y in turn."""
    polygons = annotations.masks.polygons(row)
    if polygons:
        return polygons
    if not boxes:
        raise FpnProbeError(
            f"{annotations.name_of(row)} has no segmentation, and this detector trains on masks: "
            "use data with masks, or a detector without a mask head"
        )
    left, top, width, height = annotations.boxes[row]
    right, bottom = left + width, top + height
    return [np.array([left, top, right, top, right, bottom, left, bottom])]


def _draw_mask(
    annotations: Annotations, row: int, size: tuple[int, int], boxes: bool
) -> npt.NDArray[np.uint8]:
    """Draw the mask of an object, `(H, W)` of zeros and ones."""
    masks = annotations.masks
    if masks.kind[masks.row[row]] == RUNS:
        counts = masks.run_lengths(row)
    else:
        polygons = [outline.tolist() for outline in _find_outline(annotations, row, boxes)]
        counts = rle.merge(rle.frPyObjects(polygons, *size))["counts"]
    runs = decode_runs(counts)
    columns = np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs)  # zeros first
    return np.ascontiguousarray(columns.reshape(size[1], size[0]).T)
