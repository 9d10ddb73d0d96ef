"""DC5: no pyramid; the last stage keeps the resolution of the one before it and is dilated."""

import inspect

from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.variants.geometry import (
    level_strides,
    one_level_extractor,
    one_level_head,
    one_level_train_cfg,
    stage_strides,
)

STRIDES = (1, 2, 2, 1)
DILATIONS = (1, 1, 1, 2)


def dilate(backbone: ConfigDict) -> ConfigDict:
    """The backbone with its last stage at the stride of the stage before it, dilated by two.

    A ResNet (and every subclass, ResNeXt too) takes strides (1, 2, 2, 1) and dilations
    (1, 1, 1, 2), as mmdet's `faster-rcnn_r50-caffe-dc5`; a timm backbone takes `output_stride=16`.
    """
    kind = MODELS.get(backbone.type)
    if kind is not None and issubclass(kind, ResNet):
        return ConfigDict(backbone, strides=STRIDES, dilations=DILATIONS)
    if kind is not None and "output_stride" in inspect.signature(kind).parameters:
        return ConfigDict(backbone, output_stride=16)
    raise FpnProbeError(
        f"backbone {backbone.type!r} has no dilated form, so it has no DC5: expected a ResNet, a "
        "ResNeXt or a backbone with the option `output_stride`; choose an FPN variant"
    )


def to_dc5(model: ConfigDict) -> ConfigDict:
    """The DC5 form of an FPN-form detector: same heads, same width, all anchors on C5.

    C5 is mapped to the width of the pyramid by a 1x1 convolution, so the heads are those of the
    FPN form and the difference is the pyramid alone. The backbone still gives out all its stages.
    """
    levels = len(level_strides(model))
    stride = stage_strides(model)[-1] / 2
    result = ConfigDict(model)
    result.backbone = dilate(model.backbone)
    result.neck = ConfigDict(
        type="LastStageNeck",
        in_channels=list(model.neck.in_channels),
        out_channels=model.neck.out_channels,
    )
    if "roi_head" in model:
        result.roi_head = ConfigDict(model.roi_head)
        for name in ("bbox_roi_extractor", "mask_roi_extractor"):
            if model.roi_head.get(name):
                extractor = one_level_extractor(model.roi_head[name], stride)
                result.roi_head[name] = extractor
    dense = "rpn_head" if "rpn_head" in model else "bbox_head"
    if "anchor_generator" in model[dense] or "strides" in model[dense] or dense == "bbox_head":
        result[dense] = one_level_head(model[dense], stride)
    if dense == "bbox_head":
        result.train_cfg = one_level_train_cfg(model.get("train_cfg"), levels)
    return result
