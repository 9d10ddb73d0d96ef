"""Table 3: FPN-CFG in FSAF, ResNet-101, on COCO."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_paper = _text("table3", "FSAF", "ResNet-101")

name = "table3-fsaf"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="fsaf_r101_fpn_1x_coco")
schedule = dict(lr=0.01, clip=10.0)

# Whole, not merged: there are no RoIs to make few.
_small = dict(backbone=dict(depth=18), neck=dict(in_channels=[64, 128, 256, 512]))
presets = dict(mini={"detector": dict(**detector, overrides=_small)})
