"""Deformable convolution v1 and v2 with the signatures of mmcv's compiled extension.

Dai et al. 2017, Eq. 2, and Zhu et al. 2019, Eq. 1: torchvision's `deform_conv2d` is both, without
and with a mask. The order of the offsets (y, x of each kernel place, group by group) is mmcv's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from fpnprobe.mm.ops.precision import at_least_float32


def pull_back(
    forward: Callable[..., Tensor], inputs: list[Tensor], cotangent: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of a forward function, by computing it once more with a graph."""
    with torch.enable_grad():
        leaves = [at_least_float32(one.detach()).requires_grad_() for one in inputs]
        out = forward(*leaves)
    return torch.autograd.grad(out, leaves, cotangent.to(out.dtype), allow_unused=True)


def _convolve(
    input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, places: dict[str, Any]
) -> Tensor:
    found: Tensor = deform_conv2d(
        at_least_float32(input),
        at_least_float32(offset),
        at_least_float32(weight),
        None,
        (places["dH"], places["dW"]),
        (places["padH"], places["padW"]),
        (places["dilationH"], places["dilationW"]),
        None if mask is None else at_least_float32(mask),
    )
    return found


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,  # noqa: ARG001  buffers of the compiled kernel
    ones: Tensor,  # noqa: ARG001
    **places: Any,
) -> None:
    """Fill `output` (B, C', H', W') from `input` (B, C, H, W), `offset` (B, 2 g k k, H', W')."""
    output.copy_(_convolve(input, offset, weight, None, places))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,  # noqa: ARG001
    **places: Any,
) -> None:
    """Fill the gradients of input and offset."""
    found = pull_back(
        lambda x, o: _convolve(x, o, weight.detach(), None, places), [input, offset], grad_output
    )
    _fill((grad_input, grad_offset), found)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,  # noqa: ARG001
    ones: Tensor,  # noqa: ARG001
    *,
    scale: float = 1.0,
    **places: Any,
) -> None:
    """Add `scale` times the gradient of the weight."""
    leaf = grad_weight.new_zeros(grad_weight.shape)
    (found,) = pull_back(
        lambda w: _convolve(input.detach(), offset.detach(), w, None, places), [leaf], grad_output
    )
    if found is not None:
        grad_weight.add_(found.to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,  # noqa: ARG001
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,  # noqa: ARG001
    **places: Any,
) -> None:
    """Fill `output` (B, C', H', W') with a mask (B, g k k, H', W') on each sampled value."""
    found = _convolve(input, offset, weight, mask, _named(places))
    if places["with_bias"]:
        found = found + bias.to(found.dtype)[None, :, None, None]
    output.copy_(found)


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,  # noqa: ARG001
    ones: Tensor,  # noqa: ARG001
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,  # noqa: ARG001
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    **places: Any,
) -> None:
    """Fill all gradients."""
    named = _named(places)
    found = pull_back(
        lambda x, w, o, m: _convolve(x, o, w, m, named), [input, weight, offset, mask], grad_output
    )
    _fill((grad_input, grad_weight, grad_offset, grad_mask), found)
    if places["with_bias"]:
        grad_bias.copy_(grad_output.sum((0, 2, 3)))


def _named(places: dict[str, Any]) -> dict[str, Any]:
    """The modulated operator names strides and paddings otherwise."""
    return {
        "dH": places["stride_h"],
        "dW": places["stride_w"],
        "padH": places["pad_h"],
        "padW": places["pad_w"],
        "dilationH": places["dilation_h"],
        "dilationW": places["dilation_w"],
    }


def _fill(places: tuple[Tensor, ...], found: tuple[Tensor | None, ...]) -> None:
    for place, gradient in zip(places, found, strict=True):
        if gradient is not None:
            place.copy_(gradient)
