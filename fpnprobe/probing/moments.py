"""Squares and inner products of the bucket gradients at one place."""

from collections.abc import Sequence

import torch
from torch import Tensor

_CHUNK = 2**22  # elements turned to float64 at once: 32 MiB

Gradients = Sequence[Tensor | None]


def inner(a: Gradients, b: Gradients) -> Tensor:
    """Inner product of two lists of tensors, accumulated in float64; None is zero."""
    found = torch.zeros((), dtype=torch.float64)
    for x, y in zip(a, b, strict=True):
        if x is None or y is None:
            continue
        found = found.to(x.device)
        u, v = x.flatten(), y.flatten()
        for start in range(0, len(u), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            found = found + (u[chunk].double() * v[chunk].double()).sum()
    return found


def plus(a: Gradients, b: Gradients, *, sign: float = 1.0) -> list[Tensor | None]:
    """Return `a + sign * b`, where None is zero."""
    return [
        (None if y is None else sign * y) if x is None else x if y is None else x + sign * y
        for x, y in zip(a, b, strict=True)
    ]


class Moments:
    """The bucket gradients of one place: norms, Gram matrix, and distance to the undivided one.

    Args:
        labels: Number of labels of the partition.
        size: Number of tensors that the gradient at this place consists of.
        gram: Whether inner products between buckets are wanted, which keeps all gradients.
    """

    def __init__(self, labels: int, size: int, *, gram: bool) -> None:
        self.gram = gram
        self._kept: list[Gradients | None] = [None] * labels
        self._sum: Gradients = [None] * size
        self._total: Gradients | None = None
        self._squares: dict[int, Tensor] = {}

    def add(self, label: int, gradients: Gradients) -> None:
        """Take the gradient of one bucket."""
        self._squares[label] = inner(gradients, gradients)
        self._sum = plus(self._sum, gradients)
        if self.gram:
            self._kept[label] = gradients

    def add_total(self, gradients: Gradients) -> None:
        """Take the undivided gradient."""
        self._total = gradients

    def derive(self, label: int) -> None:
        """Take `total - sum` as the gradient of the last bucket."""
        assert self._total is not None
        self.add(label, plus(self._total, self._sum, sign=-1))

    def vector(self) -> Tensor:
        """Gram matrix (or its diagonal), |total|^2 and |total - sum|^2, `(L*L + 2,)` float64.

        Without an undivided gradient the sum stands for it, and the distance is zero.
        """
        size = len(self._kept)
        gram: list[list[Tensor | None]] = [[None] * size for _ in range(size)]
        for a, square in self._squares.items():
            gram[a][a] = square
            kept = self._kept[a]
            for b in range(a) if kept is not None else ():
                other = self._kept[b]
                if other is not None and kept is not None:
                    gram[a][b] = gram[b][a] = inner(kept, other)
        total = self._sum if self._total is None else self._total
        gap = plus(total, self._sum, sign=-1)
        flat = [*(cell for row in gram for cell in row), inner(total, total), inner(gap, gap)]
        device = next((x.device for x in flat if x is not None and x.device.type != "cpu"), None)
        zero = torch.zeros((), dtype=torch.float64, device=device)
        return torch.stack([zero if x is None else x.to(zero.device) for x in flat])
