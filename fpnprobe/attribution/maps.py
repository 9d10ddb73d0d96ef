"""The result of an attribution method: one map per level and example."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class Maps:
    """Attribution of a number to the cells of every level.

    Attributes:
        method: The method's name, a key of `fpnprobe.attribution.methods.METHODS`.
        levels: Names such as `("P2", "P3")`, in the order of `tensors`.
        tensors: Attribution `a_l`, `(B, C, H_l, W_l)`; `C = 1` for Grad-CAM. In units of the value.
        value: F(x), `(B,)`.
        reference: F(baseline), `(B,)`; NaN for methods without a baseline.
    """

    method: str
    levels: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    value: Tensor
    reference: Tensor

    def __post_init__(self) -> None:
        if len(self.levels) != len(self.tensors):
            raise FpnProbeError(
                f"{len(self.tensors)} attribution maps for the {len(self.levels)} levels "
                f"{', '.join(self.levels)}: expected one map per level"
            )

    def __repr__(self) -> str:
        sizes = ", ".join(
            f"{name} {t.shape[-2]}x{t.shape[-1]}"
            for name, t in zip(self.levels, self.tensors, strict=True)
        )
        return f"Maps({self.method}, {len(self.value)} examples, {sizes})"

    def net(self) -> Tensor:
        """Return the signed attribution of each level, `(B, L)`: the sum of its map."""
        return torch.stack([t.flatten(1).sum(1) for t in self.tensors], dim=1)

    def mass(self) -> Tensor:
        """Return the unsigned attribution of each level, `(B, L)`: the sum of `|a_l|`."""
        return torch.stack([t.abs().flatten(1).sum(1) for t in self.tensors], dim=1)

    def shares(self) -> Tensor:
        """Return the share of each level, `(B, L)` in [0, 1]: `sum |a_l| / sum_k sum |a_k|`.

        NaN where an example has no attribution at all.

        >>> ones = torch.ones(1, 2, 2, 2)
        >>> maps = Maps("any", ("P2", "P3"), (ones, -3 * ones), torch.ones(1), torch.zeros(1))
        >>> maps.shares().tolist()
        [[0.25, 0.75]]
        """
        mass = self.mass()
        return mass / mass.sum(1, keepdim=True)

    def residual(self) -> Tensor:
        """Completeness residual `|sum a - (f(x) - f(baseline))| / |f(x) - f(baseline)|`, `(B,)`.

        The axiom of Sundararajan et al. 2017; NaN for methods that do not promise it.
        """
        change = self.value - self.reference
        return (self.net().sum(1) - change).abs() / change.abs()

    def replaced(self, examples: Tensor, other: "Maps") -> "Maps":
        """These maps with the given examples taken from `other`, in its order."""
        pairs = zip(self.tensors, other.tensors, strict=True)
        return replace(
            self,
            tensors=tuple(mine.index_copy(0, examples, new) for mine, new in pairs),
            value=self.value.index_copy(0, examples, other.value),
            reference=self.reference.index_copy(0, examples, other.reference),
        )

    def cells(self) -> tuple[Tensor, ...]:
        """Return the attribution of each cell, summed over channels: `(B, H_l, W_l)` per level."""
        return tuple(t.sum(1) for t in self.tensors)
