"""Table 1, RetinaNet R101."""

from fpnprobe.evidence.published import describe_row as _text
from fpnprobe.evidence.published import numbers as _numbers

_base_ = "study.py"

_rows = [row for row in _numbers()["table1"]["rows"] if row["detector"] == "RetinaNet"]
_names = {(False, False): "FPN", (True, False): "FPN-Aux", (True, True): "FPN-AuxU"}
_paper = "; ".join(_text(_names[row["auxiliary"], row["uncertainty"]], row) for row in _rows)

name = "table1-retinanet"
expected = f"The paper (percent): {_paper}."
detector = dict(config="retinanet_r101_fpn_1x_coco")
schedule = dict(lr=0.01)

# Whole, not merged: there are no RoIs to make few.
_small = dict(backbone=dict(depth=18), neck=dict(in_channels=[64, 128, 256, 512]))
presets = dict(mini={"detector": dict(**detector, overrides=_small)})
