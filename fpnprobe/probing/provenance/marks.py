"""The number of the object that each element comes from, and how two such marks join.

A mark is an int32: the number of an annotated object of the batch, or one of the codes below. Codes
from `FIRST_REASON` downwards say that an element comes from several objects, and which operator
joined them: `-FIRST_REASON - code` is an index into `Reasons`.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

NONE = -1  # comes from no object
BACKGROUND = -2  # a prediction whose target belongs to no object
TAKEN = -3  # a loss whose rows are in the partition already
FIRST_REASON = -4


@dataclass(slots=True)
class Reasons:
    """Sentences about where the object of an element was lost, each with a code of its own.

    >>> reasons = Reasons()
    >>> code = reasons.code("sum joins several objects")
    >>> code == reasons.code("sum joins several objects"), reasons.text(code)
    (True, 'sum joins several objects')
    """

    _texts: list[str] = field(default_factory=list)
    _of_predictions: set[int] = field(default_factory=set)

    def code(self, text: str, *, of_predictions: bool = False) -> int:
        """Return the code of a sentence; the same one for the same sentence.

        Args:
            text: The sentence.
            of_predictions: Whether predictions were joined that had an object each.
        """
        if text not in self._texts:
            self._texts.append(text)
        code = FIRST_REASON - self._texts.index(text)
        if of_predictions:
            self._of_predictions.add(code)
        return code

    def joins_predictions(self, marks: Tensor) -> Tensor:
        """Return where marks say that predictions with an object each were joined."""
        codes = torch.tensor(sorted(self._of_predictions), dtype=marks.dtype, device=marks.device)
        return torch.isin(marks, codes)

    def text(self, code: int) -> str:
        """Return the sentence of a code."""
        return self._texts[FIRST_REASON - code]


def is_object(marks: Tensor) -> Tensor:
    """Return where marks name one object."""
    return marks >= 0


def is_lost(marks: Tensor) -> Tensor:
    """Return where marks say that several objects were joined."""
    return marks <= FIRST_REASON


def join_targets(first: Tensor, second: Tensor, conflict: int) -> Tensor:
    """Join the marks of two targets element by element: one object, or `conflict`.

    >>> a, b = torch.tensor([-1, 3, 3, 3]), torch.tensor([2, -1, 3, 4])
    >>> join_targets(a, b, -4).tolist()
    [2, 3, 3, -4]
    """
    same = (first == second) | (second < 0) & ~is_lost(second)
    joined = torch.where(same, first, conflict)
    joined = torch.where(is_lost(first) | is_lost(second), torch.minimum(first, second), joined)
    return torch.where((first < 0) & ~is_lost(first), second, joined)


def join_reduced(marks: Tensor, dims: tuple[int, ...], conflict: int) -> Tensor:
    """The one object among the elements of `dims`, which are kept as 1; or `conflict`.

    >>> join_reduced(torch.tensor([[-1, 3, 3], [-1, 3, 4], [-1, -1, -1]]), (1,), -4).tolist()
    [[3], [-4], [-1]]
    """
    if not dims:  # torch would take them all
        return marks
    shape = [1 if dim in dims else size for dim, size in enumerate(marks.shape)]
    if marks.numel() == 0:
        return torch.full(shape, NONE, dtype=torch.int32, device=marks.device)
    high = marks.amax(dims, keepdim=True)
    least = torch.where(is_object(marks), marks, torch.iinfo(torch.int32).max)
    low = least.amin(dims, keepdim=True)
    lost = marks.amin(dims, keepdim=True)
    found = torch.where((high == low) | (high < 0), high.clamp(min=NONE), conflict)
    found = torch.where((high < 0) & (lost == BACKGROUND), BACKGROUND, found)
    return torch.where(is_lost(lost), lost, found)
