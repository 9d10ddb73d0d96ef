"""Table 4: mask AP of FPN-CFG in Mask R-CNN, Swin-T, on COCO."""

from fpnprobe.evaluation.published import numbers as _numbers

_base_ = "../table3/mask_rcnn_swin.py"

_row = next(
    row
    for row in _numbers()["table4"]["rows"]
    if (row["detector"], row["backbone"]) == ("Mask R-CNN", "Swin-T")
)
_paper = "; ".join(
    f"{name} AP {found['AP']} AP_S {found['AP_S']} AP_M {found['AP_M']} AP_L {found['AP_L']}"
    for name, found in (("FPN", _row["baseline"]), ("FPN-CFG3", _row["cfg"]))
)

name = "table4-mask-rcnn-swin"
expected = f"The paper (percent, mask AP): {_paper}. It has no control for size."
evaluation = dict(iou_type="segm")
presets = dict(
    mini={"data.scenes": dict(train=8, val=4, size=96, seed=0, outlines=True)}  # masks to judge
)
