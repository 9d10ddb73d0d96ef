"""Table 2: feature grouping and its cascade, RetinaNet R101, on COCO."""

from fpnprobe.evidence.published import describe_row as _text
from fpnprobe.evidence.published import numbers as _numbers

_base_ = "study.py"

_paper = "; ".join(
    _text(f"{row['grouping_stages']} grouping stages", row)
    for row in _numbers()["table2"]["rows"]
    if row["detector"] == "RetinaNet"
)

name = "table2-retinanet"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="retinanet_r101_fpn_1x_coco")
schedule = dict(lr=0.01)

# Whole, not merged: there are no RoIs to make few.
_small = dict(backbone=dict(depth=18), neck=dict(in_channels=[64, 128, 256, 512]))
presets = dict(mini={"detector": dict(**detector, overrides=_small)})
