"""Masks as compressed run-length codes, by pycocotools' encoder, which sees checked ones only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle

from fpnprobe.data.annotation_file.mask_columns import MaskColumns
from fpnprobe.data.annotation_file.masks import RUNS, Masks
from fpnprobe.errors import FpnProbeError

IOU_TYPES = ("bbox", "segm")
_AT_ONCE = 255  # pycocotools 2.0.11 holds the number of masks in one byte


def check_iou_type(iou_type: str) -> None:
    """Raise unless boxes or masks are asked for."""
    if iou_type not in IOU_TYPES:
        raise FpnProbeError(f"iou_type {iou_type!r} is unknown, expected 'bbox' or 'segm'")


def encode(
    segmentations: Sequence[Any], sizes: npt.NDArray[np.int64], source_name: str
) -> tuple[dict[str, Any], ...]:
    """Encode polygons, uncompressed or compressed RLEs as compressed RLEs.

    `sizes` (N, 2) holds each image's height and width in px.

    Raises:
        FpnProbeError: If an entry has no mask, or one that does not fit its image.
    """
    masks = (
        segmentations
        if isinstance(segmentations, Masks)
        else _pack_columns(segmentations, sizes, source_name)
    )
    present = masks.present()
    if not present.all():
        raise FpnProbeError(
            f"{source_name}: entry {int(present.argmin())} has no usable segmentation, which "
            "iou_type='segm' needs"
        )
    return tuple(_encode_mask(masks, i, sizes[i], source_name) for i in range(len(masks)))


def _pack_columns(
    segmentations: Sequence[Any], sizes: npt.NDArray[np.int64], source_name: str
) -> Masks:
    columns = MaskColumns()
    for segmentation in segmentations:
        columns.add(segmentation)
    masks = columns.finish(np.asarray(sizes, dtype=np.int64).reshape(-1, 2))
    if columns.wrong:
        index, problem = columns.wrong[0]
        raise FpnProbeError(
            f"{source_name}: entry {index} has no usable segmentation: {problem}; expected "
            "polygons [[x, y, ...]] in px or an RLE of the image's size"
        )
    return masks


def _encode_mask(
    masks: Masks, index: int, size: npt.NDArray[np.int64], source_name: str
) -> dict[str, Any]:
    if masks.kind[masks.row[index]] == RUNS:
        height, width = masks.sizes[masks.row[index]].tolist()
        return {"size": [height, width], "counts": masks.run_lengths(index)}
    if not size.all():
        raise FpnProbeError(
            f"{source_name}: the image of entry {index} has no height and width, which polygons "
            "need: add them to the entries of 'images'"
        )
    outlines = [polygon.tolist() for polygon in masks.polygons(index)]
    code: dict[str, Any] = rle.merge(rle.frPyObjects(outlines, int(size[0]), int(size[1])))
    return code


def mask_areas(codes: Sequence[dict[str, Any]]) -> npt.NDArray[np.float64]:
    """Return the area of each mask in px^2."""
    chunks = [rle.area(list(codes[low : low + _AT_ONCE])) for low in range(0, len(codes), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *chunks])
