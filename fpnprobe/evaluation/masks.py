"""Masks as compressed run-length codes, by pycocotools' own encoder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle

from fpnprobe.errors import FpnProbeError

IOU_TYPES = ("bbox", "segm")
_AT_ONCE = 255  # pycocotools 2.0.11 holds the number of masks in one byte


def check_iou_type(iou_type: str) -> None:
    """Raise unless boxes or masks are asked for."""
    if iou_type not in IOU_TYPES:
        raise FpnProbeError(f"iou_type {iou_type!r} is unknown, expected 'bbox' or 'segm'")


def encode(
    segmentations: Sequence[Any], sizes: npt.NDArray[np.int64], where: str
) -> tuple[dict[str, Any], ...]:
    """Polygons, uncompressed or compressed RLEs, to compressed RLEs.

    `sizes` (N, 2) holds each image's height and width in px.

    Raises:
        FpnProbeError: if an entry has no mask or one that cannot be read.
    """
    codes = []
    for index, (segmentation, size) in enumerate(zip(segmentations, sizes, strict=True)):
        height, width = int(size[0]), int(size[1])
        try:
            if not segmentation:
                raise ValueError("it is missing")
            if isinstance(segmentation, list):
                code = rle.merge(rle.frPyObjects(segmentation, height, width))
            elif isinstance(segmentation["counts"], list):
                code = rle.frPyObjects(segmentation, height, width)
            else:
                code = {"size": segmentation["size"], "counts": segmentation["counts"]}
                if isinstance(code["counts"], str):
                    code["counts"] = code["counts"].encode("ascii")
        except Exception as error:  # the C encoder raises bare Exception
            raise FpnProbeError(
                f"{where}: entry {index} has no usable segmentation ({error}), expected polygons "
                "or an RLE, which iou_type='segm' needs"
            ) from error
        codes.append(code)
    return tuple(codes)


def mask_areas(codes: Sequence[dict[str, Any]]) -> npt.NDArray[np.float64]:
    """Area of each mask in px^2."""
    parts = [rle.area(list(codes[low : low + _AT_ONCE])) for low in range(0, len(codes), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *parts])
