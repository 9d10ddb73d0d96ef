"""CARAFE upsampling with the signatures of mmcv's compiled extension (Wang et al. 2019, Eq. 4).

Each place of the enlarged map is a weighted sum of the k x k neighborhood of the place below it,
with weights of its own; all channels of a group share them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from fpnprobe.mm.ops.deform_conv import pull_back
from fpnprobe.mm.ops.precision import at_least_float32


def reassemble(features: Tensor, masks: Tensor, kernel: int, groups: int, scale: int) -> Tensor:
    """(B, C, s H, s W) from features (B, C, H, W) and masks (B, groups k k, s H, s W)."""
    batch, channels, height, width = features.shape
    reach = kernel // 2
    padded = F.pad(features, (reach, reach, reach, reach))
    weights = masks.reshape(batch, groups, kernel * kernel, *masks.shape[-2:])
    output = features.new_zeros(batch, groups, channels // groups, height * scale, width * scale)
    for kernel_cell in range(kernel * kernel):
        top, left = divmod(kernel_cell, kernel)
        near = padded[..., top : top + height, left : left + width]
        wide = near.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
        wide = wide.reshape(output.shape)
        output = output + wide * weights[:, :, kernel_cell : kernel_cell + 1]
    return output.reshape(batch, channels, height * scale, width * scale)


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,  # noqa: ARG001  buffers of the compiled kernel
    rmasks: Tensor,  # noqa: ARG001
    output: Tensor,
    *,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill `output`; `rfeatures` keeps the features, which the backward pass is given."""
    rfeatures.copy_(features)
    carafe_naive_forward(
        features,
        masks,
        output,
        kernel_size=kernel_size,
        group_size=group_size,
        scale_factor=scale_factor,
    )


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,  # noqa: ARG001
    rgrad_input_hs: Tensor,  # noqa: ARG001
    rgrad_input: Tensor,  # noqa: ARG001
    rgrad_masks: Tensor,  # noqa: ARG001
    grad_input: Tensor,
    grad_masks: Tensor,
    *,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill the gradients of features and masks."""
    carafe_naive_backward(
        grad_output,
        rfeatures,
        masks,
        grad_input,
        grad_masks,
        kernel_size=kernel_size,
        group_size=group_size,
        scale_factor=scale_factor,
    )


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    *,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill `output`."""
    wide, weights = at_least_float32(features), at_least_float32(masks)
    with torch.no_grad():
        output.copy_(reassemble(wide, weights, kernel_size, group_size, scale_factor))


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    *,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill the gradients of features and masks."""
    of_features, of_masks = pull_back(
        lambda f, m: reassemble(f, m, kernel_size, group_size, scale_factor),
        [features, masks],
        grad_output,
    )
    if of_features is not None and of_masks is not None:
        grad_input.copy_(of_features)
        grad_masks.copy_(of_masks)
