"""Table 3: FPN-CFG in FCOS, ResNet-50, on COCO."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_paper = _text("table3", "FCOS", "ResNet-50")

name = "table3-fcos"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="fcos_r50-caffe_fpn_gn-head_1x_coco")
schedule = dict(
    lr=0.01,
    clip=35.0,
    warmup_policy="constant",
    warmup_start=1 / 3,
    paramwise=dict(bias_lr_mult=2.0, bias_decay_mult=0.0),
)

# Whole, not merged: there are no RoIs to make few.
_small = dict(backbone=dict(depth=18), neck=dict(in_channels=[64, 128, 256, 512]))
presets = dict(mini={"detector": dict(**detector, overrides=_small)})
