"""Table 2: feature grouping and its cascade, Faster R-CNN R101, on COCO."""

from fpnprobe.evidence.published import describe_row as _text
from fpnprobe.evidence.published import numbers as _numbers

_base_ = "../figure1/study.py"

_paper = "; ".join(
    _text(f"{row['grouping_stages']} grouping stages", row)
    for row in _numbers()["table2"]["rows"]
    if row["detector"] == "Faster R-CNN"
)

name = "table2"
question = (
    "Does feature grouping raise AP on all object sizes, more so with more stages, and more than "
    "the same parameters without grouping (FPN-Wide)?"
)
expected = f"The paper (percent): {_paper}. It has no control for size."
detector = dict(config="faster-rcnn_r101_fpn_1x_coco")

# The paper's setting freezes the stem and the stage that makes C2: no loss trains it. Beside it,
# the same where that stage trains.
_trained = dict(detector=dict(frozen_stages=0))
variants = [
    *("FPN", "FPN-CFG1", "FPN-CFG2", "FPN-CFG3", "FPN-Wide"),
    *(dict(name=f"{name} C2 trained", build=name, **_trained) for name in ("FPN", "FPN-CFG1")),
]

_narrow = dict(bottleneck=16)  # G_k of 1 M parameters, not of 17 M
presets = dict(
    mini={
        "variants": [
            "FPN",
            *(dict(name=each, options=_narrow) for each in ("FPN-CFG1", "FPN-CFG2", "FPN-CFG3")),
            dict(name="FPN-Wide", options=_narrow),
            dict(name="FPN C2 trained", build="FPN", **_trained),
        ],
    },
)
