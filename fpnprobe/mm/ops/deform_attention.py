"""Multi-scale deformable attention with the signatures of mmcv's compiled extension.

Zhu et al. 2021, Eq. 3. mmcv has a version in plain torch, which it uses on CPUs; here it serves
other devices as well.
"""

import torch
from torch import Tensor

from fpnprobe.mm.ops.deform_conv import pull_back
from fpnprobe.mm.ops.precision import at_least_float32


def _attend(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    found: Tensor = multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
    return found


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
        return _attend(wide[0], value_spatial_shapes, wide[1], wide[2]).to(value.dtype)


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
    found = pull_back(
        lambda v, s, a: _attend(v, value_spatial_shapes, s, a),
        [value, sampling_locations, attention_weights],
        grad_output,
    )
    places = (grad_value, grad_sampling_loc, grad_attn_weight)
    for place, gradient in zip(places, found, strict=True):
        if gradient is not None:
            place.copy_(gradient)
