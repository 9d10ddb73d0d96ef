"""Table 3: FPN-CFG in Faster R-CNN, ResNet-101, on COCO."""

from fpnprobe.evidence.published import framework_text as _text

_base_ = "../figure1/study.py"

_paper = _text("table3", "Faster R-CNN", "ResNet-101")

name = "table3"
question = (
    "Does cascaded feature grouping raise AP on all object sizes in this framework, and more than "
    "the same parameters without grouping (FPN-Wide)?"
)
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="faster-rcnn_r101_fpn_1x_coco")
variants = ["FPN", "FPN-CFG3", "FPN-Wide"]

_narrow = dict(bottleneck=16)  # G_k of 1 M parameters, not of 17 M
presets = dict(
    mini={
        "variants": [
            "FPN",
            dict(name="FPN-CFG3", options=_narrow),
            dict(name="FPN-Wide", options=_narrow),
        ],
    },
)
