"""Tables 3 and 4: FPN-CFG in Mask R-CNN, ResNet-101, on COCO; boxes and masks."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_boxes, _masks = (_text(table, "Mask R-CNN", "ResNet-101") for table in ("table3", "table4"))

name = "table3-mask-rcnn"
expected = f"The paper (percent): boxes {_boxes}; masks {_masks}. It has no control for size."
evaluation = dict(iou_type=("bbox", "segm"))
detector = dict(config="mask-rcnn_r101_fpn_1x_coco")
