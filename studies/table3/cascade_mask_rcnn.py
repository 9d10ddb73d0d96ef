"""Table 3: FPN-CFG in Cascade Mask R-CNN, ResNet-101, on COCO."""

from fpnprobe.evaluation.published import framework_text as _text

_base_ = "study.py"

_paper = _text("table3", "Cascade Mask R-CNN", "ResNet-101")

name = "table3-cascade-mask-rcnn"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="cascade-mask-rcnn_r101_fpn_1x_coco")
