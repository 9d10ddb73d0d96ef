"""Multi-scale deformable attention with the signatures of mmcv's compiled extension.

Zhu et al. 2021, Eq. 3. mmcv has a version in plain torch, which it uses on CPUs; here it serves
other devices as well.
"""

import torch
from torch import Tensor

from fpnprobe.mm.ops.deform_conv import pull_back
from fpnprobe.mm.ops.precision import at_least_float32


def _sample_attention(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    output: Tensor = multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
    return output


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,  # noqa: ARG001  follows from the shapes
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    im2col_step: int,  # noqa: ARG001  how the compiled kernel splits a batch
) -> Tensor:
    """(B, queries, heads x channels) from values (B, keys, heads, channels)."""
    wide = [at_least_float32(t) for t in (value, sampling_locations, attention_weights)]
    with torch.no_grad():
        return _sample_attention(wide[0], value_spatial_shapes, wide[1], wide[2]).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,  # noqa: ARG001
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    *,
    im2col_step: int,  # noqa: ARG001
) -> None:
    """Fill all gradients."""
    gradients = pull_back(
        lambda v, s, a: _sample_attention(v, value_spatial_shapes, s, a),
        [value, sampling_locations, attention_weights],
        grad_output,
    )
    targets = (grad_value, grad_sampling_loc, grad_attn_weight)
    for target, gradient in zip(targets, gradients, strict=True):
        if gradient is not None:
            target.copy_(gradient)
