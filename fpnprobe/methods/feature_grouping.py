"""Feature grouping: every pyramid level is built from all backbone stages (Eq. 12-16).

Jin et al., "You Should Look at All Objects", ECCV 2022. With k the stage and l the level, both
2..5, C' the features after the top-down sum of an FPN (Eq. 4), Z channels each:

    M_k  = G_k(C'_k)                                                        (13)
    X_k  = M_k C'_k, a (Z x Z)(Z x HW) product: channel swapping            (12)
    X_k  = {X_k,2 .. X_k,5}, split along the channels                       (14)
    P'_l = X_2,l + X_3,l + X_4,l + X_5,l, concatenated at the size of l     (15)
    P_l  = smooth_l(P'_l)                                                   (16, done by the neck)

The paper draws G_k but does not write it, nor how X_k,l gets the size of level l. Both are options
here, whose defaults are `fpnprobe.methods.GroupingOptions()`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError

_GROUP_SIZE = 4  # smallest group of the norm in G_k

Finer = Literal["max", "average"]
Coarser = Literal["bilinear", "nearest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingOptions:
    """What the paper leaves open about Eq. 12-16, with our defaults.

    Attributes:
        bottleneck: Width r of G_k; None is r = Z. G_k has about r Z^2 parameters.
        norm_groups: Groups of the group norm in G_k, at most: it takes the largest divisor of r
            that leaves four values or more in a group. A single one always becomes zero, and two
            keep no more than their order.
        softmax: Softmax over the rows of M_k.
        finer: Pooling of X_k,l where stage k is finer than level l: `max` or `average`.
        coarser: Upsampling of X_k,l where stage k is coarser than level l: `bilinear` or `nearest`.
        regroup: False is the capacity-matched control: same parameters, same products, but level l
            keeps X_l whole and nothing crosses the levels (Eq. 14-15 left out).
    """

    bottleneck: int | None = None
    norm_groups: int = 16
    softmax: bool = False
    finer: Finer = "max"
    coarser: Coarser = "bilinear"
    regroup: bool = True

    def __post_init__(self) -> None:
        if self.finer not in ("max", "average"):
            raise FpnProbeError(f"finer={self.finer!r}: expected 'max' or 'average'")
        if self.coarser not in ("bilinear", "nearest"):
            raise FpnProbeError(f"coarser={self.coarser!r}: expected 'bilinear' or 'nearest'")


class SwapMatrix(nn.Module):
    """G_k: from a feature map (B, Z, H, W) to its swapping matrix M_k (B, Z, Z), Eq. 13.

    Global average pool, 1x1 convolution Z -> r, group norm, ReLU, 1x1 convolution r -> Z^2.
    Xavier-uniform weights keep std(M_k C'_k) / std(C'_k) near one.

    >>> SwapMatrix(32)(torch.zeros(2, 32, 5, 7)).shape
    torch.Size([2, 32, 32])
    """

    def __init__(
        self,
        channels: int,
        *,
        bottleneck: int | None = None,
        norm_groups: int = 16,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        width = bottleneck or channels
        if width < 2 or norm_groups < 1:
            raise FpnProbeError(
                f"G_k of width {width} with {norm_groups} norm groups: expected a width of two or "
                "more and at least one group"
            )
        most = max(1, min(norm_groups, width // _GROUP_SIZE))
        groups = max(n for n in range(1, most + 1) if width % n == 0)
        self.channels = channels
        self.softmax = softmax
        self.reduce = nn.Conv2d(channels, width, 1)
        self.norm = nn.GroupNorm(groups, width)
        self.expand = nn.Conv2d(width, channels * channels, 1)
        for layer in (self.reduce, self.expand):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, feature: Tensor) -> Tensor:
        """Compute M_k (B, Z, Z) of a feature map (B, Z, H, W)."""
        pooled = F.adaptive_avg_pool2d(feature, 1)  # (B, Z, 1, 1)
        code = F.relu(self.norm(self.reduce(pooled))).flatten(1)  # (B, r)
        # One small product for each row of M_k: the gradient of `code` is a sum of Z^2 terms, which
        # one long product adds up with ten times the rounding error of Z sums of Z terms.
        count = self.channels
        weight = self.expand.weight.view(count, count, -1)  # (Z, Z, r)
        entries = torch.bmm(weight, code.T.expand(count, -1, -1)).permute(2, 0, 1)  # (B, Z, Z)
        matrix = entries + cast(Tensor, self.expand.bias).view(count, count)
        return matrix.softmax(-1) if self.softmax else matrix


class FeatureGrouping(nn.Module):
    """One grouping stage: from C' to P' (Eq. 12-15), same shapes, finest first.

    The order of computation is the cheapest that is the same: the products that a map has to give
    at its own size are one product, an upsampled quarter is multiplied before it is upsampled, and
    an average-pooled one is pooled before it is multiplied. Max pooling is not linear, so its
    quarters are multiplied first.

    Args:
        channels: Z, a multiple of `levels`.
        levels: Number of stages and of levels, 4 in the paper.
        options: The choices that the paper leaves open.

    >>> pyramid = [torch.zeros(1, 32, size, size) for size in (16, 8, 4, 2)]
    >>> grouping = FeatureGrouping(32)
    >>> [tuple(level.shape) for level in grouping(pyramid)]
    [(1, 32, 16, 16), (1, 32, 8, 8), (1, 32, 4, 4), (1, 32, 2, 2)]
    """

    def __init__(
        self, channels: int, *, levels: int = 4, options: GroupingOptions | None = None
    ) -> None:
        super().__init__()
        self.options = options or GroupingOptions()
        if channels % levels:
            raise FpnProbeError(
                f"{channels} channels cannot be split into {levels} groups (Eq. 14): expected a "
                f"multiple, such as {channels - channels % levels}"
            )
        self.levels = levels
        self.swaps = nn.ModuleList(
            SwapMatrix(
                channels,
                bottleneck=self.options.bottleneck,
                norm_groups=self.options.norm_groups,
                softmax=self.options.softmax,
            )
            for _ in range(levels)
        )

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Regroup a pyramid of (B, Z, H_k, W_k), finest first."""
        if len(pyramid) != self.levels:
            raise FpnProbeError(f"{len(pyramid)} maps for {self.levels} groups: expected as many")
        matrices = [swap(feature) for swap, feature in zip(self.swaps, pyramid, strict=True)]
        if not self.options.regroup:
            return [_swap(matrix, x) for matrix, x in zip(matrices, pyramid, strict=True)]
        sizes = [feature.shape[-2:] for feature in pyramid]
        parts = [
            self._parts(matrix, feature, level, sizes)
            for level, (matrix, feature) in enumerate(zip(matrices, pyramid, strict=True))
        ]
        return [torch.cat(level_parts, dim=1) for level_parts in zip(*parts, strict=True)]

    def _parts(
        self, matrix: Tensor, feature: Tensor, stage: int, sizes: Sequence[torch.Size]
    ) -> list[Tensor]:
        """X_k,l of one stage k at the sizes of all levels l."""
        rows = matrix.chunk(self.levels, dim=1)  # M_k,l: (B, Z / levels, Z)
        pool_first = self.options.finer == "average"
        last = stage + 1 if pool_first else self.levels
        quarters = _swap(torch.cat(rows[:last], dim=1), feature).chunk(last, dim=1)
        parts = [
            F.interpolate(quarter, size=size, mode="bilinear", align_corners=False)
            if self.options.coarser == "bilinear"
            else F.interpolate(quarter, size=size, mode="nearest")
            for quarter, size in zip(quarters[:stage], sizes[:stage], strict=True)
        ]
        parts.append(quarters[stage])
        for level in range(stage + 1, self.levels):
            if pool_first:
                pooled = F.adaptive_avg_pool2d(feature, (sizes[level][0], sizes[level][1]))
                parts.append(_swap(rows[level], pooled))
            else:
                parts.append(max_pool_to(quarters[level], sizes[level]))
        return parts


def max_pool_to(feature: Tensor, size: Sequence[int]) -> Tensor:
    """Adaptive max pooling to `size`, by the plain kernel where the sizes are multiples.

    >>> max_pool_to(torch.arange(16.0).view(1, 1, 4, 4), (2, 2)).flatten().tolist()
    [5.0, 7.0, 13.0, 15.0]
    """
    (height, width), (rows, columns) = feature.shape[-2:], size
    if height % rows or width % columns:
        return F.adaptive_max_pool2d(feature, list(size))
    return F.max_pool2d(feature, (height // rows, width // columns))


def _swap(matrix: Tensor, feature: Tensor) -> Tensor:
    """M X for matrices (B, R, Z) and a map (B, Z, H, W): (B, R, H, W)."""
    swapped = torch.bmm(matrix, feature.flatten(2))
    return swapped.view(feature.shape[0], matrix.shape[1], *feature.shape[-2:])
