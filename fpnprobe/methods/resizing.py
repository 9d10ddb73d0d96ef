"""From the size of one pyramid level to that of another."""

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

Upsampling = Literal["bilinear", "nearest"]


def max_pool_to(feature: Tensor, size: Sequence[int]) -> Tensor:
    """Max-pool adaptively to `size`, by the plain kernel where the sizes are multiples.

    >>> max_pool_to(torch.arange(16.0).view(1, 1, 4, 4), (2, 2)).flatten().tolist()
    [5.0, 7.0, 13.0, 15.0]
    """
    (height, width), (rows, columns) = feature.shape[-2:], size
    if height % rows or width % columns:
        return F.adaptive_max_pool2d(feature, list(size))
    return F.max_pool2d(feature, (height // rows, width // columns))


def upsample_to(feature: Tensor, size: Sequence[int], *, mode: Upsampling) -> Tensor:
    """Upsample to `size`, bilinearly (`align_corners=False`) or by the nearest pixel.

    >>> upsample_to(torch.tensor([[[[0.0, 1.0]]]]), (1, 4), mode="bilinear").flatten().tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    if feature.device.type == "cpu":
        return cast(Tensor, _Upsample.apply(feature, tuple(size), mode))
    return _upsample_map(feature, size, mode)


def _upsample_map(feature: Tensor, size: Sequence[int], mode: str) -> Tensor:
    corners = False if mode == "bilinear" else None
    return F.interpolate(feature, size=list(size), mode=mode, align_corners=corners)


class _Upsample(torch.autograd.Function):
    """Upsampling whose gradient is two products: U X V^T has the gradient U^T G V.

    On a CPU torch scatters that gradient pixel by pixel, four times as slowly.
    """

    @staticmethod
    def forward(ctx: Any, feature: Tensor, size: tuple[int, int], mode: str) -> Tensor:
        ctx.mode, ctx.size = mode, feature.shape[-2:]
        return _upsample_map(feature, size, mode)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0].permute(0, 2, 3, 1)  # (B, H, W, C), rows of channels
        count, height, width, channels = gradient.shape
        rows, columns = ctx.size
        down = _interpolation_weights(rows, height, ctx.mode, gradient)  # (h, H)
        across = _interpolation_weights(columns, width, ctx.mode, gradient)  # (w, W)
        flat = gradient.reshape(count, height, width * channels)
        lower = torch.matmul(down, flat).view(count, rows, width, channels)
        return torch.matmul(across, lower).permute(0, 3, 1, 2), None, None


def _interpolation_weights(small: int, large: int, mode: str, like: Tensor) -> Tensor:
    """The share (small, large) that each of the `small` pixels has in each of the `large` ones."""
    points = torch.eye(small, dtype=like.dtype, device=like.device)[:, None, :, None]
    return _upsample_map(points, (large, 1), mode)[:, 0, :, 0]
