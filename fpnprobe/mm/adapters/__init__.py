"""What the probe needs to know about mmdet's heads: one file for each head family.

`observe` arms a detector for a forward pass; `register_head` adds a head of your own (a worked
example is in its docstring). Known families: anchor heads (RetinaNet, RPN, ATSS), FCOS, FSAF,
FreeAnchor, box heads on RoIs (Faster, Mask, Cascade R-CNN), Sparse R-CNN, mask heads.
"""

from fpnprobe.mm.adapters import anchor, fcos, free_anchor, fsaf, mask, roi_box, sparse_rcnn  # noqa: F401
from fpnprobe.mm.adapters.adapter import HeadAdapter, objects_of_samples, sampling_results
from fpnprobe.mm.adapters.observe import Observation, observe
from fpnprobe.mm.adapters.registry import adapter_for, register_head

__all__ = [
    "HeadAdapter",
    "Observation",
    "adapter_for",
    "objects_of_samples",
    "observe",
    "register_head",
    "sampling_results",
]
