"""Squares and inner products of the bucket gradients at one place, with little kept."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from fpnprobe.probing.passes.sketch import sketch

_CHUNK = 2**14  # elements

Gradients = Sequence[Tensor | None]
Compare = Literal["exact", "sketch", "nothing"]


def square(gradients: Gradients) -> Tensor:
    """Squared length of a list of tensors, accumulated in float64; None is zero."""
    present = [gradient for gradient in gradients if gradient is not None]
    if not present:
        return torch.zeros((), dtype=torch.float64)
    if present[0].is_cuda:  # one kernel for all tensors
        norms = torch._foreach_norm(present, 2.0, dtype=torch.float64)
        return torch.stack(norms).square().sum()
    # No float64 copy, and short enough sums in the gradient's own type.
    chunks = [chunk for gradient in present for chunk in gradient.flatten().split(_CHUNK)]
    return torch.stack([torch.dot(chunk, chunk) for chunk in chunks]).double().sum()


def inner(a: Gradients, b: Gradients) -> Tensor:
    """Inner product of two lists of tensors, float64; None is zero.

    The product of two tensors is accumulated in their own type: relative to the product of their
    lengths that is far below what a cosine is read for.
    """
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    if not pairs:
        return torch.zeros((), dtype=torch.float64)
    return torch.stack([torch.dot(x.flatten(), y.flatten()) for x, y in pairs]).double().sum()


def plus(a: Gradients, b: Gradients, *, sign: float = 1.0) -> list[Tensor | None]:
    """Return `a + sign * b`, where None is zero."""
    return [
        (None if y is None else sign * y) if x is None else x if y is None else x + sign * y
        for x, y in zip(a, b, strict=True)
    ]


class GramAccumulator:
    """The bucket gradients of one place: norms, Gram matrix, and distance to the undivided one.

    Kept until the undivided gradient has come: every bucket's gradient for a Gram matrix, and what
    `compare` needs.

    Args:
        labels: Number of labels of the partition.
        size: Number of tensors that the gradient at this place consists of.
        gram: Whether inner products between buckets are wanted.
        compare: The sum of the buckets with the undivided gradient: `exact`, which can also derive
            a bucket; by `sketch`, which keeps next to nothing; or `nothing`.
        scale: What the optimizer multiplies tensor i by, element by element: squares are then also
            taken of the products. One tensor at a time, so that next to nothing is kept.
    """

    def __init__(
        self,
        labels: int,
        size: int,
        *,
        gram: bool,
        compare: Compare = "exact",
        scale: Callable[[int], Tensor] | None = None,
    ) -> None:
        self.gram = gram
        self._scale, self._scaled = scale, dict[int, Tensor]()
        self._labels, self._compare = labels, compare
        self._gradients_by_label: dict[int, Gradients] = {}
        self._sum: list[Tensor | None] = [None] * size
        self._products: dict[tuple[int, int], Tensor] = {}
        self._ends: tuple[Tensor, Tensor] | None = None

    def add(self, label: int, gradients: Gradients) -> None:
        """Take the gradient of one bucket."""
        self._add_square(label, gradients)
        self._add_products(label, gradients)
        exact = self._compare == "exact"
        is_last = len(self._gradients_by_label) >= self._labels - 1  # nothing is multiplied with it
        if self.gram and (exact or not is_last):
            self._gradients_by_label[label] = gradients
        if self._compare == "sketch":
            self._sum = plus(self._sum, sketch(gradients))
        elif exact and not self.gram:
            self._accumulate_sum(gradients)

    def _accumulate_sum(self, gradients: Gradients) -> None:
        for i, gradient in enumerate(gradients):
            partial_sum = self._sum[i]
            if partial_sum is None:
                # A copy: what autograd gives may be the gradient at another place as well.
                self._sum[i] = None if gradient is None else gradient.clone()
            elif gradient is not None:
                partial_sum += gradient

    def add_total(self, gradients: Gradients, *, derived: int = -1) -> Gradients:
        """Take the undivided gradient, last; return what the sum lacks of it.

        That is the gradient of the `derived` bucket, if one was left out.
        """
        residual = self._subtract_sum(gradients)
        if derived >= 0:
            self.derive(derived, residual)
        gap = square(residual) if derived < 0 else torch.zeros((), dtype=torch.float64)
        self._ends = square(gradients), gap
        self._square_scaled(self._labels, gradients)
        self._gradients_by_label, self._sum = {}, []
        return residual

    def derive(self, label: int, gradients: Gradients) -> None:
        """Take the gradient of the bucket that was left out."""
        self._add_square(label, gradients)
        self._add_products(label, gradients)

    def scaled_squares(self) -> Tensor | None:
        """Squares of what the optimizer makes of each bucket, then of the whole: `(L + 1,)`.

        None where it has no scale; NaN for the whole if no undivided gradient has come.
        """
        if self._scale is None:
            return None
        none = torch.zeros((), dtype=torch.float64)
        squares = [self._scaled.get(label, none) for label in range(self._labels)]
        squares.append(self._scaled.get(self._labels, torch.full_like(none, torch.nan)))
        return torch.stack([value.cpu() for value in squares])

    def flat_statistics(self) -> Tensor:
        """Gram matrix (or its diagonal), |total|^2 and |total - sum|^2, `(L*L + 2,)` float64.

        Without an undivided gradient the sum stands for it, and the distance is zero.
        """
        none = torch.zeros((), dtype=torch.float64)
        whole = square(self._subtract_sum([None] * len(self._sum))) if self._ends is None else none
        total, gap = self._ends or (whole, none)
        cells = [
            self._products.get((a, b)) for a in range(self._labels) for b in range(self._labels)
        ]
        flat = [*(none if cell is None else cell for cell in cells), total, gap]
        device = next((x.device for x in flat if x.device.type != "cpu"), none.device)
        return torch.stack([x.to(device) for x in flat])

    def _add_square(self, label: int, gradients: Gradients) -> None:
        self._products[label, label] = square(gradients)
        self._square_scaled(label, gradients)

    def _square_scaled(self, label: int, gradients: Gradients) -> None:
        if self._scale is not None:
            self._scaled[label] = torch.zeros((), dtype=torch.float64)
            for i, gradient in enumerate(gradients):
                if gradient is not None:
                    term = square([gradient * self._scale(i)])
                    self._scaled[label] = self._scaled[label].to(term) + term

    def _add_products(self, label: int, gradients: Gradients) -> None:
        for other, earlier in self._gradients_by_label.items():
            product = inner(earlier, gradients)
            self._products[label, other] = self._products[other, label] = product

    def _subtract_sum(self, gradients: Gradients) -> list[Tensor | None]:
        """`gradients` minus all that was added, or the sketch of that."""
        if self._compare == "nothing":
            return [None] * len(gradients)
        if self._compare == "sketch":
            return plus(sketch(gradients), self._sum, sign=-1)
        residual = list(gradients)
        for added in self._gradients_by_label.values() if self.gram else (self._sum,):
            residual = plus(residual, added, sign=-1)
        return residual
