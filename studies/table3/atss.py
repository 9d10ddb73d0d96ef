"""Table 3: FPN-CFG in ATSS, ResNet-101, on COCO."""

from fpnprobe.evaluation.published import numbers as _numbers

_base_ = "study.py"

_row = next(
    row
    for row in _numbers()["table3"]["rows"]
    if (row["detector"], row["backbone"]) == ("ATSS", "ResNet-101")
)
_paper = "; ".join(
    f"{name} AP {found['AP']} AP_S {found['AP_S']} AP_M {found['AP_M']} AP_L {found['AP_L']}"
    for name, found in (("FPN", _row["baseline"]), ("FPN-CFG3", _row["cfg"]))
)

name = "table3-atss"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="atss_r101_fpn_1x_coco")
schedule = dict(lr=0.01)
