"""DC5: no pyramid; the last stage keeps the resolution of the one before it and is dilated."""

import inspect
from typing import Any, Literal, get_args

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
Form = Literal["mmdet", "matched"]

# Candidates before NMS of mmdet's faster-rcnn_r50-caffe-dc5 over those of a level of its FPN form
# (12000 over 2000 in training, 6000 over 1000 in a test), and proposals kept in training.
_CANDIDATES, _PROPOSALS = 6, 2


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
        f"backbone {backbone.type!r} has no dilated form, so it has neither DC5 nor FPN-Dilated: "
        "expected a ResNet, a ResNeXt or a backbone with the option `output_stride`; choose "
        "another variant"
    )


def to_dc5(model: ConfigDict, *, form: Form = "mmdet") -> ConfigDict:
    """The DC5 form of an FPN-form detector: all anchors on a dilated C5. All stages are given out.

    Args:
        model: The FPN form.
        form: `mmdet`: as mmdet's `faster-rcnn_r50-caffe-dc5` and the paper's: no neck, heads on
            all channels of C5, six times the candidates of an FPN level before NMS and twice the
            proposals after. `matched` (ours, for small studies): C5 mapped to the width of the
            pyramid by a 1x1 convolution and as many candidates as all levels of the FPN form have,
            so that the heads are those of the FPN form and the difference is the pyramid alone.
    """
    if form not in get_args(Form):
        raise FpnProbeError(f"DC5 form={form!r}: expected {' or '.join(get_args(Form))}")
    levels = len(level_strides(model))
    stride = stage_strides(model)[-1] / 2
    result = ConfigDict(model)
    result.backbone = dilate(model.backbone)
    channels = list(model.neck.in_channels)
    result.neck = ConfigDict(type="LastStageNeck", in_channels=channels)
    result.neck.out_channels = model.neck.out_channels if form == "matched" else None
    if "roi_head" in model:
        result.roi_head = ConfigDict(model.roi_head)
        for name in ("bbox_roi_extractor", "mask_roi_extractor"):
            if model.roi_head.get(name):
                result.roi_head[name] = _change_each(
                    model.roi_head[name], one_level_extractor, stride
                )
    dense = "rpn_head" if "rpn_head" in model else "bbox_head"
    if "anchor_generator" in model[dense] or "strides" in model[dense] or dense == "bbox_head":
        result[dense] = one_level_head(model[dense], stride)
    if dense == "bbox_head":
        result.train_cfg = one_level_train_cfg(model.get("train_cfg"), levels)
    if form == "mmdet":
        _widen_heads(result, dense, channels[-1])
    _ask_for_candidates(result, model, dense, levels=levels, form=form)
    return result


def _change_each(config: Any, change: Any, *arguments: Any) -> Any:
    """Apply a change to a config, or to each of a list of them."""
    if isinstance(config, list):
        return [change(entry, *arguments) for entry in config]
    return change(config, *arguments)


def _widen_heads(result: ConfigDict, dense: str, channels: int) -> None:
    """Let the heads read all channels of C5."""
    result[dense] = ConfigDict(result[dense], in_channels=channels)
    if dense == "rpn_head":
        result.rpn_head.feat_channels = channels
    if "roi_head" not in result:
        return
    for extractor in ("bbox_roi_extractor", "mask_roi_extractor"):
        if result.roi_head.get(extractor):
            result.roi_head[extractor] = _change_each(
                result.roi_head[extractor], ConfigDict, {"out_channels": channels}
            )
    for head in ("bbox_head", "mask_head"):
        if result.roi_head.get(head):
            result.roi_head[head] = _change_each(
                result.roi_head[head], ConfigDict, {"in_channels": channels}
            )


def _ask_for_candidates(
    result: ConfigDict, model: ConfigDict, dense: str, *, levels: int, form: Form
) -> None:
    """Give the one level the candidates before NMS that the levels of the FPN form have."""
    factor = _CANDIDATES if form == "mmdet" and dense == "rpn_head" else levels
    if model.get("test_cfg") is not None:
        result.test_cfg = ConfigDict(model.test_cfg)
        limits = result.test_cfg.get("rpn") if dense == "rpn_head" else result.test_cfg
        if limits is not None and limits.get("nms_pre"):
            changed = ConfigDict(limits, nms_pre=limits.nms_pre * factor)
            if dense == "rpn_head":
                result.test_cfg.rpn = changed
            else:
                result.test_cfg = changed
    proposals = (model.get("train_cfg") or {}).get("rpn_proposal")
    if dense == "rpn_head" and proposals is not None:
        result.train_cfg = ConfigDict(model.train_cfg)
        result.train_cfg.rpn_proposal = ConfigDict(proposals, nms_pre=proposals.nms_pre * factor)
        if form == "mmdet":
            result.train_cfg.rpn_proposal.max_per_img = _PROPOSALS * proposals.max_per_img
            result.train_cfg.rpn = ConfigDict(model.train_cfg.rpn, allowed_border=0)
