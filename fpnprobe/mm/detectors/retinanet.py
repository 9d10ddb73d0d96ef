"""A small RetinaNet."""

from typing import Any

from fpnprobe.mm.backbones import BackboneSettings
from fpnprobe.mm.detectors import building_blocks
from fpnprobe.mm.detectors.spec import DetectorSpec


def retinanet(spec: DetectorSpec, settings: BackboneSettings, num_classes: int) -> dict[str, Any]:
    """RetinaNet (Lin et al. 2017) on P2..P6 with two anchor sizes a level, scaled to `spec`."""
    finest = spec.smallest_anchor / building_blocks.FINEST_STRIDE
    return {
        "type": "RetinaNet",
        **building_blocks.frame(settings, spec.channels),
        "bbox_head": {
            "type": "RetinaHead",
            "num_classes": num_classes,
            "in_channels": spec.channels,
            "stacked_convs": spec.stacked_convs,
            "feat_channels": spec.channels,
            "anchor_generator": building_blocks.anchors([finest, finest * 2**0.5]),
            "bbox_coder": building_blocks.box_coder((1.0, 1.0, 1.0, 1.0)),
            "loss_cls": {
                "type": "FocalLoss",
                "use_sigmoid": True,
                "gamma": 2.0,
                "alpha": 0.25,
                "loss_weight": 1.0,
            },
            "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
        },
        "train_cfg": {
            "assigner": building_blocks.assigner(0.5, 0.4, 0.0, low_quality=True),
            "sampler": {"type": "PseudoSampler"},
            "allowed_border": -1,
            "pos_weight": -1,
            "debug": False,
        },
        "test_cfg": {
            "nms_pre": 300,
            "min_bbox_size": 0,
            "score_thr": 0.05,
            "nms": building_blocks.suppression(0.5),
            "max_per_img": 100,
        },
    }
