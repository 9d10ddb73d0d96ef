"""f_w(P) P of Eq. 17 with its gradient, in few passes over the map."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_norm = torch.ops.aten.native_group_norm
_norm_backward = torch.ops.aten.native_group_norm_backward
_ROWS = 4096  # locations at a time, so that what is between two sums stays in the cache


def weighed(weight: nn.Sequential, feature: Tensor, added: Tensor | None = None) -> Tensor:
    """f_w(P) P, plus what is `added`: (B, Z, H, W).

    On a CPU, for 1x1 convolutions in single or double precision, by a gradient of our own: it is
    bound by memory, and makes one map of the size of P where torch's makes three. An f_w that
    somebody listens to is called layer by layer.

    Args:
        weight: f_w: convolution, group norm, ReLU, convolution, sigmoid.
        feature: P (B, Z, H, W).
        added: Another map of its shape.
    """
    layers: tuple[Any, ...] = tuple(weight)
    first, norm, _, second, _ = layers
    kernels = (first.kernel_size, second.kernel_size)
    heard = any(part._forward_hooks or part._forward_pre_hooks for part in weight.modules())
    half = torch.is_autocast_enabled("cpu")
    if heard or half or feature.device.type != "cpu" or kernels != ((1, 1), (1, 1)):
        own = weight(feature)
        return own * feature if added is None else torch.addcmul(added, own, feature)
    parameters = (
        first.weight, first.bias, norm.weight, norm.bias, second.weight, second.bias,
    )  # fmt: skip
    settings = (norm.num_groups, norm.eps)
    return cast(Tensor, _Weighed.apply(feature, added, settings, *parameters))


class _Weighed(torch.autograd.Function):
    """Channels come last in the map and first in what is hidden, as suits the kernels of each."""

    @staticmethod
    def forward(
        ctx: Any, feature: Tensor, added: Tensor | None, settings: Any, *parameters: Tensor
    ) -> Tensor:
        first, first_bias, scale, shift, second, second_bias = parameters
        count, _, height, width = feature.shape
        hidden = _product(first, feature.flatten(2)) + first_bias[:, None]  # (B, 64, HW)
        groups, eps = settings
        normed, mean, rstd = _norm(
            hidden, scale, shift, count, hidden.shape[1], height * width, groups, eps
        )
        active = normed.relu_()
        own = torch.sigmoid(_product(second, active) + second_bias[:, None])  # (B, 1 or Z, HW)
        ctx.save_for_backward(
            feature, hidden, mean, rstd, active, own, first, scale, second
        )  # fmt: skip
        ctx.groups, ctx.adds = groups, added is not None
        factor = own.unflatten(2, (height, width))
        return factor * feature if added is None else torch.addcmul(added, factor, feature)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        feature, hidden, mean, rstd, active, own, first, scale, second = ctx.saved_tensors
        (gradient,) = gradients
        height, width = feature.shape[2:]
        rows = feature.flatten(2).transpose(1, 2)  # (B, HW, Z)
        above = gradient.flatten(2).transpose(1, 2)
        of_own = _dots(above, rows) if own.shape[1] == 1 else (above * rows).transpose(1, 2)
        of_logits = of_own * own * (1 - own)  # (B, 1 or Z, HW)
        of_active = _product(second, of_logits, transposed=True) * (active > 0)
        of_hidden, of_scale, of_shift = _norm_backward(
            of_active, hidden, mean, rstd, scale,
            len(hidden), hidden.shape[1], hidden.shape[2], ctx.groups, [True, True, True],
        )  # fmt: skip
        of_feature = above * own.transpose(1, 2)
        of_feature.baddbmm_(
            of_hidden.transpose(1, 2), first.flatten(1).expand(len(feature), -1, -1)
        )
        return (
            of_feature.transpose(1, 2).unflatten(2, (height, width)),
            gradient if ctx.adds else None,
            None,
            torch.bmm(of_hidden, rows).sum(0).view_as(first),
            of_hidden.sum(dim=(0, 2)),
            of_scale,
            of_shift,
            torch.bmm(of_logits, active.transpose(1, 2)).sum(0).view_as(second),
            of_logits.sum(dim=(0, 2)),
        )


def _product(kernel: Tensor, feature: Tensor, *, transposed: bool = False) -> Tensor:
    """A 1x1 convolution without its bias, or its transpose: (B, channels, HW)."""
    matrix = kernel.flatten(1).T if transposed else kernel.flatten(1)
    return torch.bmm(matrix.expand(len(feature), -1, -1), feature)


def _dots(one: Tensor, other: Tensor) -> Tensor:
    """Sums over Z of the products of two (B, HW, Z): (B, 1, HW)."""
    sums = [
        (part * like).sum(dim=2)
        for part, like in zip(one.split(_ROWS, dim=1), other.split(_ROWS, dim=1), strict=True)
    ]
    return torch.cat(sums, dim=1).unsqueeze(1)
