"""Table 3: FPN-CFG in Sparse R-CNN, ResNet-50, on COCO."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_paper = _text("table3", "Sparse R-CNN", "ResNet-50")

name = "table3-sparse-rcnn"
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="sparse-rcnn_r50_fpn_1x_coco")
schedule = dict(optimizer="AdamW", lr=2.5e-5, clip=1.0)
