"""Table 3: FPN-CFG in Cascade R-CNN, ResNet-101, on COCO."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_paper = _text("table3", "Cascade R-CNN", "ResNet-101")

name = "table3-cascade-rcnn"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="cascade-rcnn_r101_fpn_1x_coco")

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
