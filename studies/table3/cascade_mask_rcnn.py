"""Tables 3 and 4: FPN-CFG in Cascade Mask R-CNN, ResNet-101, on COCO; boxes and masks."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_boxes, _masks = (
    _text(table, "Cascade Mask R-CNN", "ResNet-101") for table in ("table3", "table4")
)

name = "table3-cascade-mask-rcnn"
expected = f"The paper (percent): boxes {_boxes}; masks {_masks}. It has no control for size."
evaluation = dict(iou_type=("bbox", "segm"))
detector = dict(config="cascade-mask-rcnn_r101_fpn_1x_coco")

# Whole, not merged: its three stages are a list.
_stages = ("0", "1", "2")
_small = dict(
    backbone=dict(depth=18),
    neck=dict(in_channels=[64, 128, 256, 512]),
    roi_head=dict(bbox_head={each: dict(fc_out_channels=256) for each in _stages}),
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=200),
        rcnn={each: dict(sampler=dict(num=64)) for each in _stages},
    ),
    test_cfg=dict(rpn=dict(max_per_img=100)),
)
presets = dict(mini={"detector": dict(**detector, overrides=_small)})
