"""Controls and rivals of the paper's pyramid, each from the FPN form of any detector.

- `FPN-Dilated`: the pyramid on the backbone of DC5, so that it and DC5 have the same C5 and differ
  in the pyramid alone (ours: DC5 against FPN changes the stride of C5 as well).
- `SiMo`: as many levels as FPN has, all from C5 (Chen et al., "You Only Look One-level Feature",
  CVPR 2021): divide and conquer without the fusion of stages, and without direct paths.
- `PAFPN`: a bottom-up path after the top-down one (Liu et al., "Path Aggregation Network for
  Instance Segmentation", CVPR 2018), as mmdet has it.
- `BiFPN`: weighted fusion in both directions, repeated (Tan et al., "EfficientDet", CVPR 2020).
"""

from typing import Any

from mmengine.config import ConfigDict

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.variants.dc5 import dilate
from fpnprobe.mm.variants.geometry import level_strides

_OF_FPN = ("in_channels", "out_channels", "num_outs", "start_level")
_BIFPN_LAYERS = 3  # of EfficientDet-D0


def to_dilated(model: ConfigDict) -> ConfigDict:
    """The FPN form on a backbone whose last stage is dilated: C5 and P5 at the stride of C4.

    Anchors keep their sizes and RoIs their levels; the levels after P5 move along.
    """
    stages = len(model.neck.in_channels) - int(model.neck.get("start_level", 0))
    strides = [int(stride) for stride in level_strides(model)]
    finer = [stride // (1 if level < stages - 1 else 2) for level, stride in enumerate(strides)]
    result = ConfigDict(model)
    result.backbone = dilate(model.backbone)
    for name in ("rpn_head", "bbox_head"):
        head = model.get(name)
        if not isinstance(head, ConfigDict):
            continue
        if "anchor_generator" in head:
            generator = ConfigDict(head.anchor_generator, strides=finer)
            generator.base_sizes = list(head.anchor_generator.get("base_sizes") or strides)
            result[name] = ConfigDict(head, anchor_generator=generator)
        elif "strides" in head:
            result[name] = ConfigDict(head, strides=finer)
    if "roi_head" in model:
        result.roi_head = ConfigDict(model.roi_head)
        for name in ("bbox_roi_extractor", "mask_roi_extractor"):
            extractor = model.roi_head.get(name)
            if isinstance(extractor, list):
                result.roi_head[name] = [_finer_rois(entry, stages) for entry in extractor]
            elif extractor:
                result.roi_head[name] = _finer_rois(extractor, stages)
    return result


def _finer_rois(extractor: ConfigDict, stages: int) -> ConfigDict:
    strides = [
        stride // (1 if level < stages - 1 else 2)
        for level, stride in enumerate(extractor.featmap_strides)
    ]
    return ConfigDict(extractor, featmap_strides=strides)


def to_simo(model: ConfigDict) -> ConfigDict:
    """The FPN form with all levels from C5: `fpnprobe.mm.detectors.rival_necks.SingleInputFPN`."""
    return ConfigDict(model, neck=ConfigDict(model.neck, type="SingleInputFPN"))


def to_pafpn(model: ConfigDict) -> ConfigDict:
    """The FPN form with mmdet's PAFPN."""
    return ConfigDict(model, neck=ConfigDict(model.neck, type="PAFPN"))


def to_bifpn(model: ConfigDict, *, layers: int = _BIFPN_LAYERS, norm_cfg: Any = None) -> ConfigDict:
    """The FPN form with a BiFPN.

    Args:
        model: The FPN form.
        layers: Repeated layers.
        norm_cfg: Norm after each convolution; None is batch normalization, as the paper's.
    """
    if not layers >= 1:
        raise FpnProbeError(f"BiFPN layers={layers}: expected at least 1")
    neck_options = {name: model.neck[name] for name in _OF_FPN if name in model.neck}
    neck = ConfigDict(type="BiFPN", **neck_options, layers=layers, norm_cfg=norm_cfg)
    return ConfigDict(model, neck=neck)
