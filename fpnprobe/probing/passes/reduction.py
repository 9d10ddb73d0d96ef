"""Joins the numbers of several processes into those of the global batch."""

from collections.abc import Sequence

from torch import Tensor


class Reduction:
    """One process: nothing to do. A distributed run overrides the three members.

    With W processes, the loss of the step is the mean of theirs. So the gradient of a parameter is
    the mean over processes; the gradient at an activation is split over them, and squares and
    inner products of it add up, divided by W^2.
    """

    @property
    def processes(self) -> int:
        """Number of processes W."""
        return 1

    def sum(self, values: Tensor) -> Tensor:
        """Sum of a float64 tensor over the processes."""
        return values

    def mean(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Mean of each parameter's gradient over the processes; same shapes everywhere."""
        return list(gradients)
