"""Cascade of grouping stages (Eq. 17).

Jin et al., "You Should Look at All Objects", ECCV 2022. A second grouping stage takes P' and gives
P^'; both are kept, weighted by the same learned f_w:

    P''_l = f_w(P'_l) P'_l + f_w(P^'_l) P^'_l                               (17)

The paper says that f_w is a non-linear function of two blocks, each of convolution, norm and
activation, and that more stages go "the same" way. For S stages ours is the sum over all S of
f_w(P'^(s)) P'^(s). What f_w is in detail, see `fpnprobe.methods.fusion_weight`.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods.feature_grouping import FeatureGrouping, GroupingOptions
from fpnprobe.methods.fusion_weight import CascadeOptions, FusionWeight
from fpnprobe.methods.swap_matrix import SwapMatrix
from fpnprobe.methods.weighing import weigh


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
            FeatureGrouping(
                channels,
                levels=levels,
                options=grouping,
                gain=self.options.later_gain if stage else 1.0,
            )
            for stage in range(stages)
        )
        count = self.options.count_functions(stages=stages, levels=levels)
        self.weights = nn.ModuleList(
            FusionWeight(channels, options=self.options) for _ in range(count)
        )

    def init_weights(self) -> None:
        """Set the start of every M_k and f_w; mmengine calls it after the neck's own start."""
        for module in self.modules():
            if isinstance(module, SwapMatrix | FusionWeight):
                module.init_weights()

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """P'' of the features C', finest first."""
        grouped: list[Tensor] = self.stages[0](pyramid)
        if len(self.stages) == 1:
            return grouped
        pyramids = [grouped]  # what the next sum is over
        for index, stage in enumerate(self.stages[1:], start=1):
            if self.options.combine == "recursive" and index > 1:
                pyramids = [self._combine_pyramids(pyramids, last=index - 1)]
            pyramids.append(stage(pyramids[-1]))
        return self._combine_pyramids(pyramids, last=len(self.stages) - 1)

    def _combine_pyramids(self, pyramids: Sequence[Sequence[Tensor]], *, last: int) -> list[Tensor]:
        """Sum f_w(P_l) P_l over pyramids, of which the last is of stage `last` (Eq. 17)."""
        options = self.options
        first = last + 1 - len(pyramids)
        combined = []
        for level, maps in enumerate(zip(*pyramids, strict=True)):
            functions = [
                self._find_weight(stage, level, levels=len(pyramids[0]))
                for stage in range(first, last + 1)
            ]
            if options.weight_activation == "softmax":
                logits = [
                    function(feature) for function, feature in zip(functions, maps, strict=True)
                ]
                weights = torch.stack(logits).softmax(dim=0)
                combined.append((weights * torch.stack(maps)).sum(dim=0))
                continue
            total: Tensor | None = None
            for function, feature in zip(functions, maps, strict=True):
                total = weigh(function, feature, total)
            combined.append(cast(Tensor, total))
        return combined

    def _find_weight(self, stage: int, level: int, *, levels: int) -> FusionWeight:
        """Look up the f_w of a stage and a level."""
        index = stage * (levels if self.options.weight_per_level else 1)
        index = index if self.options.weight_per_stage else 0
        index += level if self.options.weight_per_level else 0
        return cast(FusionWeight, self.weights[index])
