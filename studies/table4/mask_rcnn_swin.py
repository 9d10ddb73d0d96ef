"""Table 4: mask AP of FPN-CFG in Mask R-CNN, Swin-T, on COCO: the cells of Table 3."""

_base_ = "../table3/mask_rcnn_swin.py"  # judges boxes and masks, so nothing is trained again

question = (
    "Does cascaded feature grouping raise mask AP on all object sizes in this framework, and more "
    "than the same parameters without grouping (FPN-Wide)?"
)
