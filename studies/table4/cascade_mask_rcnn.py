"""Table 4: mask AP of FPN-CFG in Cascade Mask R-CNN, ResNet-101, on COCO."""

from fpnprobe.evaluation.published import numbers as _numbers

_base_ = "../table3/cascade_mask_rcnn.py"

_row = next(
    row
    for row in _numbers()["table4"]["rows"]
    if (row["detector"], row["backbone"]) == ("Cascade Mask R-CNN", "ResNet-101")
)
_paper = "; ".join(
    f"{name} AP {found['AP']} AP_S {found['AP_S']} AP_M {found['AP_M']} AP_L {found['AP_L']}"
    for name, found in (("FPN", _row["baseline"]), ("FPN-CFG3", _row["cfg"]))
)

name = "table4-cascade-mask-rcnn"
expected = f"The paper (percent, mask AP): {_paper}. It has no control for size."
evaluation = dict(iou_type="segm")
presets = dict(
    mini={"data.scenes": dict(train=8, val=4, size=96, seed=0, outlines=True)}  # masks to judge
)
