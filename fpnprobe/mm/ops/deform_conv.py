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
    """Return the gradients of a forward function, by computing it once more with a graph."""
    with torch.enable_grad():
        leaves = [at_least_float32(tensor.detach()).requires_grad_() for tensor in inputs]
        out = forward(*leaves)
    return torch.autograd.grad(out, leaves, cotangent.to(out.dtype), allow_unused=True)


def _convolve_deformed(
    input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, places: dict[str, Any]
) -> Tensor:
    size = _output_size(input, weight, places)
    offset, mask = (
        _read_as_kernel(offset, size),
        None if mask is None else _read_as_kernel(mask, size),
    )
    output: Tensor = deform_conv2d(
        at_least_float32(input),
        at_least_float32(offset),
        at_least_float32(weight),
        None,
        (places["dH"], places["dW"]),
        (places["padH"], places["padW"]),
        (places["dilationH"], places["dilationW"]),
        None if mask is None else at_least_float32(mask),
    )
    return output


def _output_size(input: Tensor, weight: Tensor, places: dict[str, Any]) -> tuple[int, int]:
    """Height and width of what a convolution with these strides gives."""
    height, width = (
        (length + 2 * places[f"pad{side}"] - places[f"dilation{side}"] * (kernel - 1) - 1)
        // places[f"d{side}"]
        + 1
        for side, length, kernel in zip("HW", input.shape[2:], weight.shape[2:], strict=True)
    )
    return height, width


def _read_as_kernel(map_: Tensor, size: tuple[int, int]) -> Tensor:
    """Read offsets or a mask as the compiled kernel does: an image's numbers, one after another.

    The kernel takes maps larger than the output without a word, and reads the first numbers of
    each image as a map of the output's size. DyHead's convolutions of the next coarser level rely
    on that (mmdet, `DyHeadBlock.forward`).
    """
    if map_.shape[2:] == size or map_.shape[2] * map_.shape[3] < size[0] * size[1]:
        return map_
    count = map_.shape[1] * size[0] * size[1]
    return map_.flatten(1)[:, :count].reshape(len(map_), -1, *size)


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
    output.copy_(_convolve_deformed(input, offset, weight, None, places))


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
    gradients = pull_back(
        lambda x, o: _convolve_deformed(x, o, weight.detach(), None, places),
        [input, offset],
        grad_output,
    )
    _copy_gradients((grad_input, grad_offset), gradients)


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
    (weight_gradient,) = pull_back(
        lambda w: _convolve_deformed(input.detach(), offset.detach(), w, None, places),
        [leaf],
        grad_output,
    )
    if weight_gradient is not None:
        grad_weight.add_(weight_gradient.to(grad_weight.dtype), alpha=scale)


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
    convolved = _convolve_deformed(input, offset, weight, mask, _rename_geometry(places))
    if places["with_bias"]:
        convolved = convolved + bias.to(convolved.dtype)[None, :, None, None]
    output.copy_(convolved)


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
    geometry = _rename_geometry(places)
    gradients = pull_back(
        lambda x, w, o, m: _convolve_deformed(x, o, w, m, geometry),
        [input, weight, offset, mask],
        grad_output,
    )
    _copy_gradients((grad_input, grad_weight, grad_offset, grad_mask), gradients)
    if places["with_bias"]:
        grad_bias.copy_(grad_output.sum((0, 2, 3)))


def _rename_geometry(places: dict[str, Any]) -> dict[str, Any]:
    """The modulated operator names strides and paddings otherwise."""
    return {
        "dH": places["stride_h"],
        "dW": places["stride_w"],
        "padH": places["pad_h"],
        "padW": places["pad_w"],
        "dilationH": places["dilation_h"],
        "dilationW": places["dilation_w"],
    }


def _copy_gradients(targets: tuple[Tensor, ...], gradients: tuple[Tensor | None, ...]) -> None:
    for target, gradient in zip(targets, gradients, strict=True):
        if gradient is not None:
            target.copy_(gradient)
