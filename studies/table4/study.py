"""Table 4: mask AP of FPN-CFG in Mask R-CNN, ResNet-101, on COCO."""

from fpnprobe.evaluation.published import framework_text as _text

_base_ = "../table3/mask_rcnn.py"

_paper = _text("table4", "Mask R-CNN", "ResNet-101")

name = "table4"
expected = f"The paper (percent, mask AP): {_paper}. It has no control for size."
evaluation = dict(iou_type="segm")
presets = dict(
    mini={"data.scenes": dict(train=8, val=4, size=96, seed=0, outlines=True)}  # masks to judge
)
