"""Eq. 12-17 as printed."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpnprobe.methods.cascade import CascadedGrouping
from fpnprobe.methods.feature_grouping import FeatureGrouping
from fpnprobe.methods.fusion_weight import FusionWeight
from fpnprobe.methods.swap_matrix import SwapMatrix


def swap_matrix(module: SwapMatrix, feature: Tensor) -> Tensor:
    """Eq. 13: M = G(C'), one line for each part of G."""

    def average(x: Tensor) -> Tensor:
        return x.sum(dim=(2, 3), keepdim=True) / (x.shape[2] * x.shape[3])

    def encode(x: Tensor) -> Tensor:
        reduced = F.conv2d(x, module.reduce.weight, module.reduce.bias)
        return _group_norm(module.norm, reduced).clamp(min=0)

    last = module.form == "pool-last"
    code = (average(encode(feature)) if last else encode(average(feature))).flatten(1)
    weight = module.expand.weight[:, :, 0, 0]
    entries = code / module.divisor @ weight.T + cast(Tensor, module.expand.bias)
    matrix = entries.view(-1, module.channels, module.channels)
    if module.softmax:
        matrix = matrix.exp() / matrix.exp().sum(dim=2, keepdim=True)
    return matrix


def resize(feature: Tensor, size: Sequence[int], *, finer: str, coarser: str) -> Tensor:
    """X_k,l at the size of level l."""
    if tuple(feature.shape[-2:]) == tuple(size):
        return feature
    if feature.shape[-1] > size[-1] or feature.shape[-2] > size[-2]:
        pool = F.adaptive_max_pool2d if finer == "max" else F.adaptive_avg_pool2d
        return pool(feature, (size[0], size[1]))
    if coarser == "nearest":
        return F.interpolate(feature, size=list(size), mode="nearest")
    return F.interpolate(feature, size=list(size), mode="bilinear", align_corners=False)


def resize_by_definition(feature: Tensor, size: Sequence[int], *, kind: str) -> Tensor:
    """The definition of each resize: `max`, `average`, `bilinear` or `nearest`, pixel by pixel."""
    height, width = feature.shape[-2:]
    rows, columns = size
    result = []
    for i in range(rows):
        for j in range(columns):
            if kind in ("max", "average"):
                top, bottom = i * height // rows, math.ceil((i + 1) * height / rows)
                left, right = j * width // columns, math.ceil((j + 1) * width / columns)
                window = feature[..., top:bottom, left:right].flatten(-2)
                result.append(window.amax(-1) if kind == "max" else window.mean(-1))
            elif kind == "nearest":
                result.append(feature[..., i * height // rows, j * width // columns])
            else:
                y = max((i + 0.5) * height / rows - 0.5, 0)
                x = max((j + 0.5) * width / columns - 0.5, 0)
                y0, x0 = int(y), int(x)
                y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
                upper = (1 - x + x0) * feature[..., y0, x0] + (x - x0) * feature[..., y0, x1]
                lower = (1 - x + x0) * feature[..., y1, x0] + (x - x0) * feature[..., y1, x1]
                result.append((1 - y + y0) * upper + (y - y0) * lower)
    return torch.stack(result, dim=-1).view(*feature.shape[:-2], rows, columns)


def feature_grouping(module: FeatureGrouping, pyramid: Sequence[Tensor]) -> list[Tensor]:
    """Eq. 12-15 as printed."""
    swapped = []
    for swap, feature in zip(module.swaps, pyramid, strict=True):
        matrix = swap_matrix(cast(SwapMatrix, swap), feature)  # (13)
        flat = torch.matmul(matrix, feature.flatten(2))  # (12), Z x Z times Z x HW
        swapped.append(flat.view_as(feature))
    if not module.options.regroup:
        return swapped
    quarters = [feature.chunk(module.levels, dim=1) for feature in swapped]  # (14)
    options = module.options
    return [
        torch.cat(  # (15)
            [
                resize(
                    quarters[stage][level],
                    pyramid[level].shape[-2:],
                    finer=options.finer,
                    coarser=options.coarser,
                )
                for stage in range(module.levels)
            ],
            dim=1,
        )
        for level in range(module.levels)
    ]


def _group_norm(norm: nn.GroupNorm, feature: Tensor) -> Tensor:
    """The definition of group norm for a map (B, C, H, W)."""
    groups = feature.reshape(len(feature), norm.num_groups, -1, *feature.shape[2:])
    center = groups.mean(dim=(2, 3, 4), keepdim=True)
    spread = ((groups - center) ** 2).mean(dim=(2, 3, 4), keepdim=True)
    normed = ((groups - center) / torch.sqrt(spread + norm.eps)).flatten(1, 2)
    return normed * norm.weight[:, None, None] + norm.bias[:, None, None]


def fusion_weight(module: FusionWeight, feature: Tensor) -> Tensor:
    """f_w of Eq. 17: two blocks of convolution, group norm and activation.

    The last activation of a `softmax` is over the stages and done by who has them.
    """
    options = module.options
    if options.weight_activation == "constant":
        return torch.full_like(feature, options.value)
    first, norm, _, second, *above = list(module.layers)
    first, norm, second = cast(nn.Conv2d, first), cast(nn.GroupNorm, norm), cast(nn.Conv2d, second)
    hidden = F.conv2d(feature, first.weight, first.bias, padding=first.padding)
    active = _group_norm(norm, hidden).clamp(min=0)
    logits = F.conv2d(active, second.weight, second.bias, padding=second.padding)
    if options.weight_norm:
        logits = _group_norm(cast(nn.GroupNorm, above[0]), logits)
    if options.weight_activation == "softmax":
        return logits
    return logits.clamp(min=0) if options.weight_activation == "relu" else 1 / (1 + (-logits).exp())


def cascade(module: CascadedGrouping, pyramid: Sequence[Tensor]) -> list[Tensor]:
    """Eq. 17 as printed for two stages, continued for more."""

    def weight(stage: int, level: int, feature: Tensor) -> Tensor:
        options, index = module.options, 0
        if options.weight_per_stage:
            index = stage * (len(pyramid) if options.weight_per_level else 1)
        if options.weight_per_level:
            index += level
        return fusion_weight(cast(FusionWeight, module.weights[index]), feature)

    softmax = module.options.weight_activation == "softmax"
    stages = [cast(FeatureGrouping, stage) for stage in module.stages]
    grouped = {0: feature_grouping(stages[0], pyramid)}
    if len(stages) == 1:
        return grouped[0]
    for index, stage in enumerate(stages[1:], start=1):
        if module.options.combine == "recursive" and len(grouped) == 2:
            grouped = {index - 1: _sum_pyramids(weight, grouped, softmax=softmax)}
        grouped[index] = feature_grouping(stage, grouped[index - 1])
    return _sum_pyramids(weight, grouped, softmax=softmax)


def _sum_pyramids(
    weight: Callable[[int, int, Tensor], Tensor],
    grouped: Mapping[int, list[Tensor]],
    *,
    softmax: bool,
) -> list[Tensor]:
    """Sum the pyramids of the stages, each times its weight."""
    combined = []
    for level in range(len(next(iter(grouped.values())))):
        weights = {stage: weight(stage, level, maps[level]) for stage, maps in grouped.items()}
        if softmax:
            whole = sum(logit.exp() for logit in weights.values())
            weights = {stage: logit.exp() / whole for stage, logit in weights.items()}
        total = torch.zeros_like(next(iter(grouped.values()))[level])
        for stage, features in grouped.items():
            total = total + weights[stage] * features[level]
        combined.append(total)
    return combined
