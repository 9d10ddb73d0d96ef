"""Figure 3: auxiliary losses on DC5 and on FPN, Faster R-CNN R101, on COCO."""

from fpnprobe.evidence.published import describe_row as _text
from fpnprobe.evidence.published import numbers as _numbers

_base_ = "../figure1/study.py"

_paper = "; ".join(_text(row["variant"], row) for row in _numbers()["figure3"]["rows"])

name = "figure3"
question = (
    "Do auxiliary losses do for DC5 what FPN does, and nothing for FPN, as they would if FPN "
    "worked by shorter paths for the gradient?"
)
expected = f"The paper (percent): {_paper}."

detector = dict(config="faster-rcnn_r101_fpn_1x_coco")

# The paper's setting freezes the stem and the stage that makes C2: no loss trains it. Beside it,
# the same where that stage trains.
_trained = dict(detector=dict(frozen_stages=0))
variants = [
    "DC5",
    "FPN",
    "FPN-Aux",
    "DC5-Aux",
    *(
        dict(name=f"{name} C2 trained", build=name, **_trained)
        for name in ("DC5", "FPN", "FPN-Aux")
    ),
]
