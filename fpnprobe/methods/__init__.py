"""The methods of *You Should Look at All Objects* (Jin et al., ECCV 2022) in plain PyTorch.

Each method is one file with its equations, and has a slow twin in `fpnprobe.methods.twins` written
line by line from them. `fpnprobe.mm` makes them modules of mmdet.

>>> import torch
>>> from fpnprobe.methods import CascadedGrouping
>>> pyramid = [torch.randn(1, 64, size, size) for size in (32, 16, 8, 4)]  # C'2 .. C'5
>>> [tuple(level.shape) for level in CascadedGrouping(64, stages=2)(pyramid)]
[(1, 64, 32, 32), (1, 64, 16, 16), (1, 64, 8, 8), (1, 64, 4, 4)]
"""

from fpnprobe.methods.auxiliary import AuxiliaryRoIHead, StageProjection, auxiliary_rows
from fpnprobe.methods.cascade import CascadedGrouping
from fpnprobe.methods.dc5 import dilate_stage
from fpnprobe.methods.feature_grouping import FeatureGrouping, GroupingOptions
from fpnprobe.methods.fusion_weight import CascadeOptions, FusionWeight
from fpnprobe.methods.swap_matrix import SwapMatrix
from fpnprobe.methods.uncertainty import (
    Uncertainty,
    UncertaintyOptions,
    WeighedRows,
    weigh_rows,
)

__all__ = [
    "AuxiliaryRoIHead",
    "CascadeOptions",
    "CascadedGrouping",
    "FeatureGrouping",
    "FusionWeight",
    "GroupingOptions",
    "StageProjection",
    "SwapMatrix",
    "Uncertainty",
    "UncertaintyOptions",
    "WeighedRows",
    "auxiliary_rows",
    "dilate_stage",
    "weigh_rows",
]
