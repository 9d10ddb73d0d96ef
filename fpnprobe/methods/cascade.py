"""Cascade of grouping stages (Eq. 17).

Jin et al., "You Should Look at All Objects", ECCV 2022. A second grouping stage takes P' and gives
P^'; both are kept, weighted by the same learned f_w:

    P''_l = f_w(P'_l) P'_l + f_w(P^'_l) P^'_l                               (17)

The paper says that f_w is two blocks of convolution, norm and activation, and that more stages go
"the same" way. Ours: 1x1 convolution Z -> 64, group norm, ReLU, 1x1 convolution 64 -> 1, sigmoid,
one f_w for all stages and levels, and for S stages the sum over all S of f_w(P'^(s)) P'^(s).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods.feature_grouping import FeatureGrouping, GroupingOptions
from fpnprobe.methods.weighing import weighed

Combine = Literal["sum", "recursive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeOptions:
    """What the paper leaves open about Eq. 17, with our defaults.

    Attributes:
        weight_width: Channels between the two blocks of f_w.
        weight_norm_groups: Groups of its group norm.
        weight_kernel: Kernel of its two convolutions, 1 or 3.
        weight_outputs: `one` weight a location, or one for each channel: `channels`.
        weight_per_level: One f_w for each level, not one for all.
        combine: `sum`: stage s + 1 takes P'^(s), and all P'^(s) are summed with their weights.
            `recursive`: stage s + 1 takes P'' so far, and Eq. 17 is applied to P'' and its result.
    """

    weight_width: int = 64
    weight_norm_groups: int = 16
    weight_kernel: Literal[1, 3] = 1
    weight_outputs: Literal["one", "channels"] = "one"
    weight_per_level: bool = False
    combine: Combine = "sum"

    def __post_init__(self) -> None:
        if self.weight_outputs not in ("one", "channels"):
            raise FpnProbeError(
                f"weight_outputs={self.weight_outputs!r}: expected 'one', 'channels'"
            )
        if self.combine not in ("sum", "recursive"):
            raise FpnProbeError(f"combine={self.combine!r}: expected 'sum' or 'recursive'")
        if self.weight_kernel not in (1, 3):
            raise FpnProbeError(f"weight_kernel={self.weight_kernel}: expected 1 or 3")


def fusion_weight(channels: int, options: CascadeOptions) -> nn.Sequential:
    """f_w: (B, Z, H, W) to weights in (0, 1) of shape (B, 1, H, W), or (B, Z, H, W).

    >>> import torch
    >>> weight = fusion_weight(32, CascadeOptions())
    >>> weight(torch.zeros(1, 32, 4, 6)).shape
    torch.Size([1, 1, 4, 6])
    """
    kernel, width = options.weight_kernel, options.weight_width
    outputs = 1 if options.weight_outputs == "one" else channels
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, padding=kernel // 2),
        nn.GroupNorm(options.weight_norm_groups, width),
        nn.ReLU(),
        nn.Conv2d(width, outputs, kernel, padding=kernel // 2),
        nn.Sigmoid(),
    )


class CascadedGrouping(nn.Module):
    """`stages` grouping stages (Eq. 12-15, 17): from C' to what the neck smooths, same shapes.

    One stage is the grouping alone, without weights.

    >>> import torch
    >>> pyramid = [torch.zeros(1, 32, size, size) for size in (16, 8, 4, 2)]
    >>> cascade = CascadedGrouping(32, stages=2)
    >>> [tuple(level.shape) for level in cascade(pyramid)]
    [(1, 32, 16, 16), (1, 32, 8, 8), (1, 32, 4, 4), (1, 32, 2, 2)]
    """

    def __init__(
        self,
        channels: int,
        *,
        stages: int,
        levels: int = 4,
        grouping: GroupingOptions | None = None,
        cascade: CascadeOptions | None = None,
    ) -> None:
        super().__init__()
        if stages < 1:
            raise FpnProbeError(f"{stages} grouping stages: expected at least one")
        self.options = cascade or CascadeOptions()
        self.stages = nn.ModuleList(
            FeatureGrouping(channels, levels=levels, options=grouping) for _ in range(stages)
        )
        count = 0 if stages == 1 else levels if self.options.weight_per_level else 1
        self.weights = nn.ModuleList(fusion_weight(channels, self.options) for _ in range(count))

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """P'' of the features C', finest first."""
        grouped: list[Tensor] = self.stages[0](pyramid)
        if len(self.stages) == 1:
            return grouped
        combined = self._weighted(grouped)
        for index, stage in enumerate(self.stages[1:]):
            if self.options.combine == "recursive" and index:
                grouped = combined
                combined = self._weighted(grouped)
            grouped = stage(grouped)
            combined = self._weighted(grouped, combined)
        return combined

    def _weighted(
        self, pyramid: Sequence[Tensor], added: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """f_w(P_l) P_l of every level, plus what is `added`."""
        own = self.weights if self.options.weight_per_level else [self.weights[0]] * len(pyramid)
        totals = [None] * len(pyramid) if added is None else added
        return [
            weighed(cast(nn.Sequential, weight), feature, total)
            for weight, feature, total in zip(own, pyramid, totals, strict=True)
        ]
