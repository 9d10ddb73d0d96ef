"""Table 3: FPN-CFG in Faster R-CNN, ResNet-101, on COCO."""

from fpnprobe.evaluation.published import numbers as _numbers

_base_ = "../figure1/study.py"

_row = next(
    row
    for row in _numbers()["table3"]["rows"]
    if (row["detector"], row["backbone"]) == ("Faster R-CNN", "ResNet-101")
)
_paper = "; ".join(
    f"{name} AP {found['AP']} AP_S {found['AP_S']} AP_M {found['AP_M']} AP_L {found['AP_L']}"
    for name, found in (("FPN", _row["baseline"]), ("FPN-CFG3", _row["cfg"]))
)

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
