"""Table 1: auxiliary losses with and without uncertainty, Faster R-CNN R101, on COCO."""

from fpnprobe.evidence.published import describe_row as _text
from fpnprobe.evidence.published import numbers as _numbers

_base_ = "../figure1/study.py"

_rows = [row for row in _numbers()["table1"]["rows"] if row["detector"] == "Faster R-CNN"]
_names = {(False, False): "FPN", (True, False): "FPN-Aux", (True, True): "FPN-AuxU"}
_paper = "; ".join(_text(_names[row["auxiliary"], row["uncertainty"]], row) for row in _rows)

name = "table1"
question = "Does uncertainty keep the auxiliary losses from drowning small objects?"
expected = f"The paper (percent): {_paper}."

detector = dict(config="faster-rcnn_r101_fpn_1x_coco")
variants = ["FPN", "FPN-Aux", "FPN-AuxU"]
