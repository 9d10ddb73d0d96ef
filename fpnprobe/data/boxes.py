"""Boxes of a COCO file: finite, with area, inside their image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.errors import FpnProbeError

_TOLERANCE = 0.01  # px; COCO's own boxes are rounded to hundredths
Array = npt.NDArray[np.float64]


def clip(
    file: Path, images: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]]
) -> int:
    """Clip boxes `[x, y, width, height]` (px) to their images in place; return how many stuck out.

    `area` stays: it is what the annotators measured.

    Raises:
        FpnProbeError: for a box that is not four finite numbers, or has no area inside its image,
            or an `area` that is not a positive number.
    """
    if not annotations:
        return 0
    given = _boxes(file, annotations)
    sizes = {
        image["id"]: (_side(file, image, "width"), _side(file, image, "height")) for image in images
    }
    limits = np.array([sizes[entry["image_id"]] for entry in annotations])
    low = given[:, :2].clip(min=0)
    high = np.minimum(given[:, :2] + given[:, 2:], limits)
    _refuse(file, annotations, (given[:, 2:] <= 0).any(axis=1), "have a box of no area")
    _refuse(file, annotations, (high <= low).any(axis=1), "lie outside of their image")
    inside = np.concatenate([low, high - low], axis=1)
    outside = np.abs(inside - given).max(axis=1) > _TOLERANCE
    for index in np.flatnonzero(outside):
        annotations[index]["bbox"] = inside[index].tolist()
    return int(outside.sum())


def _boxes(file: Path, annotations: Sequence[dict[str, Any]]) -> Array:
    """All boxes `(N, 4)`, checked for form, finite numbers and a positive `area`."""
    malformed = [not _is_box(entry["bbox"]) for entry in annotations]
    _refuse(file, annotations, malformed, "have no box [x, y, width, height]")
    boxes: Array = np.array([entry["bbox"] for entry in annotations], dtype=np.float64)
    _refuse(file, annotations, ~np.isfinite(boxes).all(axis=1), "have a box with NaN or infinity")
    numbers = [entry["area"] if _is_number(entry["area"]) else np.nan for entry in annotations]
    areas = np.array(numbers, dtype=np.float64)
    bad_area = ~np.isfinite(areas) | (areas <= 0)
    _refuse(file, annotations, bad_area, "have an `area` that is not a positive number")
    return boxes


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(_is_number(side) for side in value)


def _side(file: Path, image: dict[str, Any], key: str) -> float:
    value = image[key]
    if not _is_number(value) or not 0 < value < float("inf"):
        raise FpnProbeError(f"{file}: image {image['id']} has {key} {value!r}: expected px > 0")
    return float(value)


def _refuse(
    file: Path, annotations: Sequence[dict[str, Any]], marks: npt.ArrayLike, what: str
) -> None:
    bad = np.flatnonzero(marks)
    if len(bad):
        first = annotations[int(bad[0])]
        raise FpnProbeError(
            f"{file}: {len(bad)} of {len(annotations)} annotations {what} (first: annotation "
            f"{first['id']}, bbox {first['bbox']}, area {first['area']}); correct or remove them"
        )
