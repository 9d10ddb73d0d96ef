"""Gradients that float16 could not hold: too small for its smallest number to tell."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fpnprobe.probing.passes.gradient_key import GradientKey
from fpnprobe.probing.passes.reduction import Reduction

QUANTUM = 2.0**-24  # the smallest number of float16 that is not zero
LIMIT = 1e-2  # rounding to multiples of it, relative to the gradient


def count_nonzero(gradient: Tensor | None) -> Tensor:
    """Number of elements that are not zero, as a float64 scalar."""
    if gradient is None:
        return torch.zeros((), dtype=torch.float64)
    return gradient.ne(0).sum().double()


def underflows(
    moments: Mapping[GradientKey, npt.NDArray[np.float64]],
    counts: Mapping[str, Sequence[Tensor]],
    rows: Sequence[int],
    reduction: Reduction,
) -> dict[str, set[int]]:
    """Labels by tap whose gradient is lost in the rounding of float16, by their number.

    Rounding N elements to multiples of q makes an error of about q sqrt(N / 12). A label is lost
    at a tap where that is more than `LIMIT` of its gradient, or where rows that carry loss left no
    gradient at a backbone stage at all.

    Args:
        moments: `GramAccumulator.flat_statistics` of every place.
        counts: Elements that are not zero of each label at each tap, in units of q^2: `(labels,)`.
        rows: Rows that carry loss, by label.
        reduction: Joins the processes.
    """
    lost_by_tap: dict[str, set[int]] = {}
    for key, vector in moments.items():
        if key.tap not in counts or (key.kind, key.route) != ("activation", "total"):
            continue
        size = len(rows)
        squares = np.diag(vector[:-2].reshape(size, size))
        weighted = torch.stack([count.cpu() for count in counts[key.tap]])
        noise = reduction.sum(weighted).numpy() / reduction.processes**2 / 12
        lost = {
            label
            for label in range(size)
            if rows[label] > 0
            and (
                noise[label] > (LIMIT**2) * squares[label]
                or (squares[label] == 0 and key.tap.startswith("C"))
            )
        }
        if lost:
            lost_by_tap[key.tap] = lost
    return lost_by_tap
