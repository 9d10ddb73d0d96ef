"""Table 3: FPN-CFG in Mask R-CNN, ResNet-101, on COCO."""

from fpnprobe.evaluation.published import framework_text as _text

_base_ = "study.py"

_paper = _text("table3", "Mask R-CNN", "ResNet-101")

name = "table3-mask-rcnn"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="mask-rcnn_r101_fpn_1x_coco")
