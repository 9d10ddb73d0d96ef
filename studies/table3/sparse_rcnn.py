"""Table 3: FPN-CFG in Sparse R-CNN, ResNet-50, on COCO."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_paper = _text("table3", "Sparse R-CNN", "ResNet-50")

name = "table3-sparse-rcnn"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="sparse-rcnn_r50_fpn_1x_coco")
schedule = dict(optimizer="AdamW", lr=2.5e-5, clip=1.0)

# Whole, not merged: there are no RoIs to make few.
_small = dict(backbone=dict(depth=18), neck=dict(in_channels=[64, 128, 256, 512]))
presets = dict(mini={"detector": dict(**detector, overrides=_small)})
