"""Table 3: FPN-CFG in Cascade Mask R-CNN, ResNeXt-101-64x4d, on COCO."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_paper = _text("table3", "Cascade Mask R-CNN", "ResNeXt-101-64x4d")

name = "table3-cascade-mask-rcnn-x101"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="cascade-mask-rcnn_x101-64x4d_fpn_ms-3x_coco")
data = dict(short_sides=(640, 800))  # multi-scale, as its `ms-3x` config
schedule = dict(epochs=36, steps=(27 / 36, 33 / 36))

# Whole, not merged: its three stages are a list.
_stages = ("0", "1", "2")
_small = dict(
    backbone=dict(depth=50),
    roi_head=dict(bbox_head={each: dict(fc_out_channels=256) for each in _stages}),
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=200),
        rcnn={each: dict(sampler=dict(num=64)) for each in _stages},
    ),
    test_cfg=dict(rpn=dict(max_per_img=100)),
)
presets = dict(
    zoo={"schedule.steps": (27 / 36, 33 / 36)},  # its drops are the paper's
    mini={"detector": dict(**detector, overrides=_small), "data.short_sides": (64, 96)},
)
