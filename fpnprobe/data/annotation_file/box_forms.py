"""Boxes that are written in another form than x, y, width, height, recognised by where they lie.

A file does not say its form, so nothing is converted; but boxes of another form reach out of their
image, or all lie within one pixel, and that is told.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_MANY = 0.1  # share of boxes; of well-formed ones about 1 % stick out
_LEAST = 4  # px: images smaller than this say nothing
_ROUNDING = 1.0  # px

FORMS = {
    "corners": "x1, y1, x2, y2 (corners)",
    "center": "a center, width and height",
    "relative": "shares of the image's sides",
    "relative center": "a center, width and height as shares of the image's sides",
}


def to_plain(boxes: Floats, form: str, sizes: Floats) -> Floats:
    """Boxes of a form as x, y, width, height in px.

    Args:
        boxes: `(N, 4)`.
        form: One of `FORMS`.
        sizes: Height and width of each box's image in px, `(N, 2)`.

    >>> to_plain(np.array([[2.0, 3.0, 12.0, 11.0]]), "corners", np.array([[48.0, 64.0]])).tolist()
    [[2.0, 3.0, 10.0, 8.0]]
    """
    plain = boxes.astype(np.float64)
    if form.startswith("relative"):
        plain = plain * sizes[:, [1, 0, 1, 0]]
    if form == "corners":
        plain[:, 2:] -= plain[:, :2]
    elif form.endswith("center"):
        plain[:, :2] -= plain[:, 2:] / 2
    return plain


def suspected_form(boxes: Floats, sizes: Ints) -> str | None:
    """The form that boxes seem to have, or None where x, y, width, height fits.

    Args:
        boxes: As they are written, `(N, 4)`.
        sizes: Height and width of each box's image in px, `(N, 2)`, 0 where unknown.
    """
    has_size = (sizes > _LEAST).all(axis=1)
    if is_relative(boxes) and (has_size.any() or not len(sizes)):
        return "relative"
    if not has_size.any():
        return None
    boxes, limits = boxes[has_size], sizes[has_size].astype(np.float64)
    if np.mean(~_inside(boxes, limits)) < _MANY:
        return None
    for form in ("corners", "center"):
        plain = to_plain(boxes, form, limits)
        if _inside(plain, limits).all() and (plain[:, 2:] > 0).all():
            return form
    return None


def is_relative(boxes: Floats) -> bool:
    """Whether all boxes lie within one pixel of the corner of their image."""
    return bool(len(boxes) and boxes.max() <= 1.0 + 1e-6 and boxes.min() >= -1.0)


def _inside(boxes: Floats, limits: Floats) -> Bools:
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    return np.asarray(
        (low >= -_ROUNDING).all(axis=1) & (high <= limits[:, ::-1] + _ROUNDING).all(axis=1)
    )
