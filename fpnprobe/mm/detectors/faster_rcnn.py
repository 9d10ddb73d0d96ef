"""A small Faster R-CNN with FPN."""

from typing import Any

from fpnprobe.mm.backbones import BackboneSettings
from fpnprobe.mm.detectors import building_blocks
from fpnprobe.mm.detectors.spec import DetectorSpec

_ROI_SIZE = 7
_RPN_SAMPLES = 128


def faster_rcnn(spec: DetectorSpec, settings: BackboneSettings, num_classes: int) -> dict[str, Any]:
    """Faster R-CNN (Ren et al. 2015) on an FPN (Lin et al. 2017), every size scaled to `spec`.

    1.7 M parameters with the narrow ResNet of width 16.
    """
    smallest = spec.smallest_anchor
    cross_entropy = {"type": "CrossEntropyLoss", "loss_weight": 1.0}
    box_loss = {"type": "L1Loss", "loss_weight": 1.0}
    return {
        "type": "FasterRCNN",
        **building_blocks.frame(settings, spec.channels),
        "rpn_head": {
            "type": "RPNHead",
            "in_channels": spec.channels,
            "feat_channels": spec.channels,
            "anchor_generator": building_blocks.anchors([smallest / building_blocks.FINEST_STRIDE]),
            "bbox_coder": building_blocks.box_coder((1.0, 1.0, 1.0, 1.0)),
            "loss_cls": {**cross_entropy, "use_sigmoid": True},
            "loss_bbox": box_loss,
        },
        "roi_head": {
            "type": "StandardRoIHead",
            "bbox_roi_extractor": {
                "type": "Float32RoIExtractor",
                "roi_layer": {"type": "RoIAlign", "output_size": _ROI_SIZE, "sampling_ratio": 2},
                "out_channels": spec.channels,
                "featmap_strides": building_blocks.strides()[:4],
                # Boxes up to 3.5 smallest anchors come from P2, as 112 px from anchors of 32 px.
                "finest_scale": 1.75 * smallest,
            },
            "bbox_head": {
                "type": "Shared2FCBBoxHead",
                "in_channels": spec.channels,
                "fc_out_channels": spec.hidden,
                "roi_feat_size": _ROI_SIZE,
                "num_classes": num_classes,
                "bbox_coder": building_blocks.box_coder((0.1, 0.1, 0.2, 0.2)),
                "reg_class_agnostic": True,
                "loss_cls": {**cross_entropy, "use_sigmoid": False},
                "loss_bbox": box_loss,
            },
        },
        "train_cfg": {
            "rpn": {
                "assigner": building_blocks.assigner(0.7, 0.3, 0.3, low_quality=True),
                "sampler": building_blocks.sampler(_RPN_SAMPLES, add_objects=False),
                "allowed_border": -1,
                "pos_weight": -1,
                "debug": False,
            },
            "rpn_proposal": {
                "nms_pre": 400,
                "max_per_img": spec.proposals,
                "nms": building_blocks.suppression(0.7),
                "min_bbox_size": 0,
            },
            "rcnn": {
                "assigner": building_blocks.assigner(0.5, 0.5, 0.5, low_quality=False),
                "sampler": building_blocks.sampler(spec.rois, add_objects=True),
                "pos_weight": -1,
                "debug": False,
            },
        },
        "test_cfg": {
            "rpn": {
                "nms_pre": 300,
                "max_per_img": 100,
                "nms": building_blocks.suppression(0.7),
                "min_bbox_size": 0,
            },
            "rcnn": {
                "score_thr": 0.05,
                "nms": building_blocks.suppression(0.5),
                "max_per_img": 100,
            },
        },
    }
