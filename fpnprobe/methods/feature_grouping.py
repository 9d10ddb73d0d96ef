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
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods.resizing import Upsampling, max_pool_to, upsample_to
from fpnprobe.methods.swap_matrix import (
    SwapForm,
    SwapMatrix,
    SwapRate,
    SwapStart,
    check_swap_options,
)

Finer = Literal["max", "average"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingOptions:
    """The choices that the paper leaves open about Eq. 12-16, with our defaults.

    Attributes:
        bottleneck: Width r of G_k; None is r = Z. G_k has about r Z^2 parameters.
        norm_groups: Groups of the group norm in G_k, at most: it takes the largest divisor of r
            that leaves four values or more in a group. A single one always becomes zero, and two
            keep no more than their order.
        softmax: Softmax over the rows of M_k.
        swap_form: Order of G_k: `pool-first` or `pool-last`, see `SwapMatrix`.
        swap_start: M_k before training: `rotation`, `identity` or `xavier`.
        swap_rate: How far a step moves the part of M_k that is of the image: `convolution`,
            `third`, `root` or `full`, from the shortest on.
        finer: Pooling of X_k,l where stage k is finer than level l: `max` or `average`.
        coarser: Upsampling of X_k,l where stage k is coarser than level l: `bilinear` or `nearest`.
        regroup: False is the capacity-matched control: same parameters, same products, but level l
            keeps X_l whole and nothing crosses the levels (Eq. 14-15 left out).
    """

    bottleneck: int | None = None
    norm_groups: int = 16
    softmax: bool = False
    swap_form: SwapForm = "pool-first"
    swap_start: SwapStart = "rotation"
    swap_rate: SwapRate = "third"
    finer: Finer = "max"
    coarser: Upsampling = "bilinear"
    regroup: bool = True

    def __post_init__(self) -> None:
        check_swap_options(form=self.swap_form, start=self.swap_start, rate=self.swap_rate)
        if self.finer not in ("max", "average"):
            raise FpnProbeError(f"finer={self.finer!r}: expected 'max' or 'average'")
        if self.coarser not in ("bilinear", "nearest"):
            raise FpnProbeError(f"coarser={self.coarser!r}: expected 'bilinear' or 'nearest'")


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
        gain: Factor of the M_k before training.

    >>> pyramid = [torch.zeros(1, 32, size, size) for size in (16, 8, 4, 2)]
    >>> grouping = FeatureGrouping(32)
    >>> [tuple(level.shape) for level in grouping(pyramid)]
    [(1, 32, 16, 16), (1, 32, 8, 8), (1, 32, 4, 4), (1, 32, 2, 2)]
    """

    def __init__(
        self,
        channels: int,
        *,
        levels: int = 4,
        options: GroupingOptions | None = None,
        gain: float = 1.0,
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
                form=self.options.swap_form,
                start=self.options.swap_start,
                rate=self.options.swap_rate,
                gain=gain,
            )
            for _ in range(levels)
        )

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Regroup a pyramid of (B, Z, H_k, W_k), finest first."""
        if len(pyramid) != self.levels:
            raise FpnProbeError(f"{len(pyramid)} maps for {self.levels} groups: expected as many")
        matrices = [swap(feature) for swap, feature in zip(self.swaps, pyramid, strict=True)]
        channels_last = _suit_channels_last([*matrices, *pyramid])
        if not self.options.regroup:
            return [
                _swap_channels(matrix, feature, channels_last=channels_last)
                for matrix, feature in zip(matrices, pyramid, strict=True)
            ]
        sizes = [feature.shape[-2:] for feature in pyramid]
        maps_by_stage = [
            self._regroup_stage(matrix, feature, level, sizes, channels_last=channels_last)
            for level, (matrix, feature) in enumerate(zip(matrices, pyramid, strict=True))
        ]
        return [torch.cat(level_parts, dim=1) for level_parts in zip(*maps_by_stage, strict=True)]

    def _regroup_stage(
        self,
        matrix: Tensor,
        feature: Tensor,
        stage: int,
        sizes: Sequence[torch.Size],
        *,
        channels_last: bool,
    ) -> list[Tensor]:
        """X_k,l of one stage k at the sizes of all levels l."""
        rows = matrix.chunk(self.levels, dim=1)  # M_k,l: (B, Z / levels, Z)
        pool_first = self.options.finer == "average"
        last = stage + 1 if pool_first else self.levels
        own_rows = torch.cat(rows[:last], dim=1)
        quarters = _swap_channels(own_rows, feature, channels_last=channels_last).chunk(last, dim=1)
        take = _copy_channels_last if channels_last else _as_it_is
        maps = [
            upsample_to(take(quarter), size, mode=self.options.coarser)
            for quarter, size in zip(quarters[:stage], sizes[:stage], strict=True)
        ]
        maps.append(quarters[stage])
        for level in range(stage + 1, self.levels):
            if pool_first:
                pooled = F.adaptive_avg_pool2d(feature, (sizes[level][0], sizes[level][1]))
                maps.append(_swap_channels(rows[level], pooled, channels_last=channels_last))
            else:
                maps.append(max_pool_to(take(quarters[level]), sizes[level]))
        return maps


def _suit_channels_last(tensors: Sequence[Tensor]) -> bool:
    """Tell whether the channels should come last: on a CPU, where a gradient is wanted."""
    has_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return has_gradient and tensors[0].device.type == "cpu"


def _swap_channels(matrix: Tensor, feature: Tensor, *, channels_last: bool) -> Tensor:
    """M X for matrices (B, R, Z) and a map (B, Z, H, W): (B, R, H, W)."""
    flat = feature.flatten(2)
    if channels_last:
        rows = torch.bmm(flat.transpose(1, 2), matrix.transpose(1, 2))  # (B, HW, R)
        swapped = rows.transpose(1, 2)
    else:
        swapped = torch.bmm(matrix, flat)
    return swapped.view(feature.shape[0], matrix.shape[1], *feature.shape[-2:])


def _copy_channels_last(quarter: Tensor) -> Tensor:
    """Copy a quarter of a map, since the kernels want its channels to lie together."""
    return quarter.contiguous(memory_format=torch.channels_last)


def _as_it_is(quarter: Tensor) -> Tensor:
    return quarter
