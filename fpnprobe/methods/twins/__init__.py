"""Slow twins of the methods: each written line by line from its equation, with no shortcut.

They take the parameters of the fast module and compute the equation as printed: every product at
full size and in full, then split, resize, concatenate, weigh, add. In float64 the fast modules
equal them to 1e-10 in values and gradients. The resizes are torch's own; `resize_by_definition` is
their definition, pixel by pixel.
"""

from fpnprobe.methods.twins.auxiliary import (
    auxiliary_head,
    auxiliary_loss,
    dilated_convolution,
    roi_align,
    uncertain_loss,
)
from fpnprobe.methods.twins.grouping import (
    cascade,
    feature_grouping,
    fusion_weight,
    resize,
    resize_by_definition,
    swap_matrix,
)

__all__ = [
    "auxiliary_head",
    "auxiliary_loss",
    "cascade",
    "dilated_convolution",
    "feature_grouping",
    "fusion_weight",
    "resize",
    "resize_by_definition",
    "roi_align",
    "swap_matrix",
    "uncertain_loss",
]
