"""The paper's twelve frameworks as mmdet ships them, with few channels: a forward pass in 0.1 s."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict

from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.detectors.stock import stock_model
from fpnprobe.mm.variants import apply_variant
from fpnprobe.scales import ScaleBucket

CLASSES = 20
SIZE = 128
BUCKETS = (
    ScaleBucket("small", 0, 18**2),
    ScaleBucket("medium", 18**2, 64**2),
    ScaleBucket("large", 64**2, float("inf")),
)
CONFIGS = {
    "retinanet": "retinanet_r50_fpn_1x_coco",
    "free_anchor": "freeanchor_r50_fpn_1x_coco",
    "atss": "atss_r50_fpn_1x_coco",
    "fcos": "fcos_r50-caffe_fpn_gn-head_1x_coco",
    "fsaf": "fsaf_r50_fpn_1x_coco",
    "faster_rcnn": "faster-rcnn_r50_fpn_1x_coco",
    "dc5": "faster-rcnn_r50-caffe-dc5_1x_coco",
    "mask_rcnn": "mask-rcnn_r50_fpn_1x_coco",
    "cascade_rcnn": "cascade-rcnn_r50_fpn_1x_coco",
    "cascade_mask_rcnn": "cascade-mask-rcnn_r50_fpn_1x_coco",
    "sparse_rcnn": "sparse-rcnn_r50_fpn_1x_coco",
    "swin": "mask-rcnn_swin-t-p4-w7_fpn_1x_coco",
}
_NARROWER = {256: 32, 1024: 64, 2048: 128}
_CHANNELS = (
    "in_channels",
    "out_channels",
    "feat_channels",
    "conv_out_channels",
    "fc_out_channels",
    "proposal_feature_channel",
    "feedforward_channels",
)
_FEWER = {"nms_pre": 200, "max_per_img": 48, "num_proposals": 16}


def tiny(name: str, *, seed: int = 0, variant: str = "", **backbone: Any) -> Any:
    """One of `CONFIGS` as its own classes build it, narrow, with ResNet-18; in training mode."""
    model = stock_model(CONFIGS[name], num_classes=CLASSES, weights=None)
    _narrow(model)
    if name == "swin":
        model.backbone.update(
            embed_dims=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 3, 6), drop_path_rate=0.1
        )
        model.neck.in_channels = [24, 48, 96, 192]
    elif name == "dc5":  # bottlenecks: C5 has 32 times the base channels
        model.backbone.base_channels = 4
        model.backbone.stem_channels = 4
    else:
        model.backbone.update(depth=18, base_channels=16, stem_channels=16, style="pytorch")
        model.neck.in_channels = [16, 32, 64, 128]
    model.backbone.update(backbone)
    if variant:
        model = apply_variant(model, variant)
    detector: Any = build_detector(model, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # no branch starts dead, or its gradients would not be tested
        for module in detector.backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.copy_(0.3 + torch.rand(module.weight.shape, generator=generator))
    return detector.train()


def _narrow(part: Any) -> None:
    if isinstance(part, ConfigDict):
        for key, value in part.items():
            if key in _CHANNELS and isinstance(value, int):
                part[key] = _NARROWER.get(value, value)
            elif key in _FEWER:
                part[key] = min(value, _FEWER[key])
            elif key == "num" and value in (256, 512):
                part[key] = 48
            elif key == "norm_cfg" and isinstance(value, Mapping) and value["type"] == "GN":
                part[key] = {"type": "GN", "num_groups": 4}
            else:
                _narrow(value)
        if part.get("type") == "ATSSHead":
            part.norm_cfg = {"type": "GN", "num_groups": 4}
        if part.get("type") == "DynamicConv":
            part.feat_channels = 8
    elif isinstance(part, (list, tuple)):
        for one in part:
            _narrow(one)


def bucket_of(areas: torch.Tensor) -> torch.Tensor:
    """Index of the bucket of each area, by comparing with the borders."""
    return (areas[:, None] >= torch.tensor([b.high for b in BUCKETS])).sum(1)


def reseed() -> None:
    """The samplers draw the same rows again."""
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002 -- mmdet draws from the legacy generator


def loss_of(detector: Any, data: Any) -> torch.Tensor:
    """The training loss, with the same rows at every call."""
    reseed()
    loss: torch.Tensor = detector.parse_losses(detector(**data, mode="loss"))[0]
    return loss
