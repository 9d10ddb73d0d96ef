"""Table 3: FPN-CFG in Cascade R-CNN, ResNet-101, on COCO."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_paper = _text("table3", "Cascade R-CNN", "ResNet-101")

name = "table3-cascade-rcnn"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="cascade-rcnn_r101_fpn_1x_coco")
