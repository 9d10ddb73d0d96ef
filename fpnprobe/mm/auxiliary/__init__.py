"""Auxiliary heads on the stages of any mmdet detector (Eq. 8-11), as modules of its registries.

`AuxiliaryDetector` is the detector itself, as a subclass made on the spot, with one more child,
`auxiliary_heads`: for each stage an `AuxiliaryRoIBranch` (two-stage) or an `AuxiliaryDenseBranch`
(one-stage). Their losses are named `aux2.loss_cls`, `aux2.loss_bbox` and so on and are summed with
the others. Prediction runs the detector's own code and never touches them.
"""

from fpnprobe.mm.auxiliary.branches import AuxiliaryDenseBranch, AuxiliaryRoIBranch
from fpnprobe.mm.auxiliary.detector import auxiliary_detector, drop_auxiliary
from fpnprobe.mm.auxiliary.free_anchor import UncertainFreeAnchorHead
from fpnprobe.mm.auxiliary.uncertain_loss import UncertainLoss

__all__ = [
    "AuxiliaryDenseBranch",
    "AuxiliaryRoIBranch",
    "UncertainFreeAnchorHead",
    "UncertainLoss",
    "auxiliary_detector",
    "drop_auxiliary",
]
