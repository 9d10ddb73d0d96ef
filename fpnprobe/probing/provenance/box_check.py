"""Compares target boxes with the boxes of their rows' objects, in the forms that they come in."""

import torch
from torch import Tensor

_TOLERANCE = 1e-4  # of a box's largest number
_SAMPLE = 512  # so many rows that are not their object's box are compared with all others


def box_forms(boxes: Tensor, frames: Tensor | None = None) -> Tensor:
    """Forms of annotated boxes that may be targets, `(F, N, 4)`.

    As they are; with a center instead of a corner, or a size; the other way round; and all that in
    parts of an image.

    Args:
        boxes: Boxes `(N, 4)` as a model is given them.
        frames: Width and height of each one's image, `(N, 2)`, or None.

    >>> box_forms(torch.tensor([[0.0, 0, 4, 8]]))[:, 0].tolist()[:2]
    [[0.0, 0.0, 4.0, 8.0], [2.0, 4.0, 4.0, 8.0]]
    """
    near, far = boxes.double()[:, :2], boxes.double()[:, 2:]
    forms = [
        torch.cat(pair, 1)
        for pair in (
            (near, far),
            ((near + far) / 2, far - near),
            (near, far - near),
            (near - far / 2, near + far / 2),
        )
    ]
    if frames is not None:
        forms += [form / frames.double().repeat(1, 2) for form in forms[:3]]
    return torch.stack(forms)


def compare_boxes(target: Tensor, marks: Tensor, forms: Tensor) -> tuple[Tensor, Tensor]:
    """Rows `(R,)` whose target is their own object's box, and rows whose target is another's.

    A target that is nobody's box (an offset, a clipped box) is in neither.

    Args:
        target: Target `(R, 4)`.
        marks: Objects of the rows `(R,)`, negative for none.
        forms: What `box_forms` returned.

    >>> forms = box_forms(torch.tensor([[0.0, 0, 4, 4], [2, 2, 9, 9]]))
    >>> target = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [0.1, 0.2, 0.1, 0.3]])
    >>> [rows.tolist() for rows in compare_boxes(target, torch.tensor([0, 1, 1]), forms)]
    [[True, False, False], [False, True, False]]
    """
    is_own, is_other = (torch.zeros_like(marks, dtype=torch.bool) for _ in range(2))
    rows = (marks >= 0).nonzero()[:, 0]
    if not len(rows) or not forms.shape[1]:
        return is_own, is_other
    given, forms = target[rows].double(), forms.to(target.device)
    own = _is_same(given, forms[:, marks[rows].long()])  # (F, R)
    form = int(own.sum(1).argmax())
    if bool(own.any()):  # a loss has one form: the one that most rows have
        own, forms = own[form : form + 1], forms[form : form + 1]
    strange = (~own.any(0)).nonzero()[:_SAMPLE, 0]
    others = _is_same(given[strange][:, None], forms[:, None]).any(2).any(0)
    is_own[rows] = own.any(0)
    is_other[rows[strange]] = others
    return is_own, is_other


def _is_same(given: Tensor, boxes: Tensor) -> Tensor:
    size = boxes.abs().amax(-1).clamp(min=1e-6)
    return (given - boxes).abs().amax(-1) <= _TOLERANCE * size
