"""Tables 3 and 4: FPN-CFG in Mask R-CNN, Swin-T, on COCO; boxes and masks."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "study.py"

_boxes, _masks = (_text(table, "Mask R-CNN", "Swin-T") for table in ("table3", "table4"))

name = "table3-mask-rcnn-swin"
expected = f"The paper (percent): boxes {_boxes}; masks {_masks}. It has no control for size."
evaluation = dict(iou_type=("bbox", "segm"))
detector = dict(config="mask-rcnn_swin-t-p4-w7_fpn_1x_coco")
_undecayed = ("absolute_pos_embed", "relative_position_bias_table", "norm")
schedule = dict(
    optimizer="AdamW",
    lr=1e-4,
    weight_decay=0.05,
    warmup=1000,
    paramwise=dict(custom_keys={each: dict(decay_mult=0.0) for each in _undecayed}),
)

# Whole, not merged: the small ResNet of the others does not fit.
_small = dict(
    backbone=dict(depths=[1, 1, 1, 1]),
    roi_head=dict(bbox_head=dict(fc_out_channels=256)),
    train_cfg=dict(rpn_proposal=dict(max_per_img=200), rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=dict(max_per_img=100)),
)
presets = dict(mini={"detector": dict(**detector, overrides=_small)})
