"""Table 3: FPN-CFG in FCOS, ResNet-50, on COCO."""

from fpnprobe.evaluation.published import numbers as _numbers

_base_ = "study.py"

_row = next(
    row
    for row in _numbers()["table3"]["rows"]
    if (row["detector"], row["backbone"]) == ("FCOS", "ResNet-50")
)
_paper = "; ".join(
    f"{name} AP {found['AP']} AP_S {found['AP_S']} AP_M {found['AP_M']} AP_L {found['AP_L']}"
    for name, found in (("FPN", _row["baseline"]), ("FPN-CFG3", _row["cfg"]))
)

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
