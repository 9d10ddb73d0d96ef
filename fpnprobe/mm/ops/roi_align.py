"""RoIAlign with the signatures of mmcv's compiled extension: results go into given tensors."""

import torch
from torch import Tensor

from fpnprobe.errors import EnvironmentProblem
from fpnprobe.mm.ops.precision import at_least_float32

_AVERAGE = 1


def _only_average(pool_mode: int) -> None:
    if pool_mode != _AVERAGE:
        raise EnvironmentProblem(
            "RoIAlign was asked for pool_mode='max', torchvision has 'avg' only: "
            "set pool_mode='avg' or install a compiled mmcv"
        )


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,  # noqa: ARG001  used by max pooling only
    argmax_x: Tensor,  # noqa: ARG001
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill `output` `(R, C, h, w)` from `input` `(B, C, H, W)` at `rois` `(R, 5)`, in float32."""
    _only_average(pool_mode)
    features = at_least_float32(input)
    output.copy_(
        torch.ops.torchvision.roi_align(
            features,
            rois.to(features.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            sampling_ratio,
            aligned,
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,  # noqa: ARG001  used by max pooling only
    argmax_x: Tensor,  # noqa: ARG001
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill `grad_input` `(B, C, H, W)` from `grad_output` `(R, C, h, w)`, in float32.

    On a CPU, rows without any gradient are left out: a pass for one bucket has few others, and what
    they add is zero, so no bit of the result changes.
    """
    _only_average(pool_mode)
    cotangent, boxes = at_least_float32(grad_output), rois
    if not cotangent.is_cuda:  # there it would make the host wait
        reached = cotangent.flatten(1).any(1)
        cotangent, boxes = cotangent[reached], boxes[reached]
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            cotangent,
            boxes.to(cotangent.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )
