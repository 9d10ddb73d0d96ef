"""f_w(P) P of Eq. 17 with its gradient, in few passes over the map."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fpnprobe.methods.fusion_weight import FusionWeight

_ROWS = 4096  # locations at a time, so that what is between two sums stays in the cache


def weigh(function: FusionWeight, feature: Tensor, added: Tensor | None = None) -> Tensor:
    """Compute f_w(P) P, plus what is `added`: (B, Z, H, W).

    On a CPU, for 1x1 convolutions in single or double precision, by a gradient of our own: it is
    bound by memory, and makes one map of the size of P where torch's makes three. An f_w that
    somebody listens to is called layer by layer.

    Args:
        function: The weighing f_w.
        feature: P (B, Z, H, W).
        added: Another map of its shape.
    """
    options = function.options
    if options.weight_activation == "constant":
        value = options.value
        return value * feature if added is None else torch.add(added, feature, alpha=value)
    has_hooks = any(
        layer._forward_hooks or layer._forward_pre_hooks for layer in function.modules()
    )
    half = torch.is_autocast_enabled("cpu")
    if has_hooks or half or feature.device.type != "cpu" or options.weight_kernel != 1:
        weight = function(feature)
        return weight * feature if added is None else torch.addcmul(added, weight, feature)
    first, norm, _, second, *above = list[Any](function.layers)
    layers = [first, norm, second]
    if options.weight_norm:
        layers.append(above[0])
    groups = [layer.num_groups for layer in layers[1::2]]
    parameters = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
    settings = (groups, norm.eps, options.weight_activation)
    return cast(Tensor, _Weighed.apply(feature, added, settings, *parameters))


class _Weighed(torch.autograd.Function):
    """Channels come last in the map and first in what is hidden, as suits the kernels of each."""

    @staticmethod
    def forward(
        ctx: Any, feature: Tensor, added: Tensor | None, settings: Any, *parameters: Tensor
    ) -> Tensor:
        first, first_bias, scale, shift, second, second_bias, *last = parameters
        height, width = feature.shape[2:]
        ctx.groups, ctx.eps, ctx.activation = settings
        hidden = _convolve_pointwise(first, feature.flatten(2)) + first_bias[:, None]  # (B, 64, HW)
        normed, *moments = _normalize_groups(hidden, scale, shift, ctx.groups[0], ctx.eps)
        active = normed.relu_()
        logits = _convolve_pointwise(second, active) + second_bias[:, None]  # (B, 1 or Z, HW)
        above, inputs = [], logits
        if last:
            inputs, *last_moments = _normalize_groups(
                logits, last[0], last[1], ctx.groups[1], ctx.eps
            )
            above = [logits, *last_moments, last[0]]
        weight = inputs.relu() if ctx.activation == "relu" else inputs.sigmoid()
        ctx.save_for_backward(
            feature, hidden, *moments, active, weight, first, scale, second, *above
        )
        ctx.adds = added is not None
        factor = weight.unflatten(2, (height, width))
        return factor * feature if added is None else torch.addcmul(added, factor, feature)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        feature, hidden, mean, rstd, active, weight, first, scale, second, *above = (
            ctx.saved_tensors
        )
        (gradient,) = gradients
        height, width = feature.shape[2:]
        rows = feature.flatten(2).transpose(1, 2)  # (B, HW, Z)
        from_output = gradient.flatten(2).transpose(1, 2)
        is_single = weight.shape[1] == 1
        of_weight = (
            _sum_products(from_output, rows) if is_single else (from_output * rows).transpose(1, 2)
        )
        of_logits = of_weight * (
            (weight > 0) if ctx.activation == "relu" else weight * (1 - weight)
        )
        of_last: list[Tensor] = []
        if above:
            logits, last_mean, last_rstd, last_scale = above
            of_logits, *of_last = _normalize_backward(
                of_logits.contiguous(), logits, last_mean, last_rstd, last_scale, ctx.groups[1]
            )
        of_active = _convolve_pointwise(second, of_logits, transposed=True) * (active > 0)
        of_hidden, of_scale, of_shift = _normalize_backward(
            of_active, hidden, mean, rstd, scale, ctx.groups[0]
        )
        of_feature = from_output * weight.transpose(1, 2)
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
            *of_last,
        )


def _normalize_groups(
    maps: Tensor, scale: Tensor, shift: Tensor, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize groups of (B, channels, HW); also return each group's mean and inverse spread."""
    count, channels, locations = maps.shape
    # F.group_norm does not return the moments, which the backward pass needs.
    normed = torch.ops.aten.native_group_norm(
        maps, scale, shift, count, channels, locations, groups, eps
    )
    return cast(tuple[Tensor, Tensor, Tensor], normed)


def _normalize_backward(
    above: Tensor, maps: Tensor, mean: Tensor, rstd: Tensor, scale: Tensor, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a group norm's gradients for its maps (B, channels, HW), its scale and its shift."""
    count, channels, locations = maps.shape
    gradients = torch.ops.aten.native_group_norm_backward(
        above, maps, mean, rstd, scale, count, channels, locations, groups, [True, True, True]
    )
    return cast(tuple[Tensor, Tensor, Tensor], gradients)


def _convolve_pointwise(kernel: Tensor, feature: Tensor, *, transposed: bool = False) -> Tensor:
    """A 1x1 convolution without its bias, or its transpose: (B, channels, HW)."""
    matrix = kernel.flatten(1).T if transposed else kernel.flatten(1)
    return torch.bmm(matrix.expand(len(feature), -1, -1), feature)


def _sum_products(first: Tensor, second: Tensor) -> Tensor:
    """Return the sums over Z of the products of two (B, HW, Z): (B, 1, HW)."""
    sums = [
        (rows * other_rows).sum(dim=2)
        for rows, other_rows in zip(
            first.split(_ROWS, dim=1), second.split(_ROWS, dim=1), strict=True
        )
    ]
    return torch.cat(sums, dim=1).unsqueeze(1)
