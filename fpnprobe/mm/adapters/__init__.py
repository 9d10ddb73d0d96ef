"""Adapters, which tell the probe whose each row of a head's loss is; `heads` has one file a family.

`observe` arms a detector for a forward pass; `register_head` adds a head of your own (a worked
example is in its docstring). What each family can do, and where a new one would have to be told:

| head family | probe | `-Aux` | `-AuxU` | attribute detections | attribute objects |
|---|---|---|---|---|---|
| anchors: RetinaNet, RPN | `anchor` | yes | yes | yes | yes, by its IoU assigner |
| ATSS | `anchor` | yes | yes | yes | yes, by its assigner |
| FCOS | `fcos` | yes | yes | yes | yes, by its targets |
| FSAF | `fsaf` | yes | yes | untested | untested |
| FreeAnchor | `free_anchor` | yes | yes, by a head of its own | untested | untested |
| RoI boxes: Faster, Mask, Cascade | `roi_box` | yes | yes | yes | yes, the box is the RoI |
| Sparse R-CNN | `sparse_rcnn` | yes, a plain RoI head | yes, of that head | yes | yes, matched |
| masks | `mask` | no own head | no own head | no | no |
| your own | `register_head` | yes | if its layers are known | if dense | by its assigner |

A head without an adapter is followed (`followed_heads`). Both name the same object for every row,
so the adapters stay for their speed: by `bench probe --size 128` a probed step of the small Faster
R-CNN takes 1.6 times the CPU time by provenance (0.46 s, 0.29 s). FSAF's and FreeAnchor's say more:
which anchors an object's choice of level drops, and whose bag a row is.

`-Aux`: `fpnprobe.mm.variants.auxiliary`. `-AuxU`: layers and losses by name in
`fpnprobe.mm.auxiliary.uncertain_head`. Detections: `fpnprobe.mm.inspect.attribution.dense`,
`two_stage` and `queries`. Objects: `fpnprobe.mm.inspect.attribution.assign_priors`. The paper's
rows that a study is compared with are found by `fpnprobe.evidence.published`.
"""

from fpnprobe.mm.adapters.adapter import HeadAdapter, objects_of_samples, sampling_results
from fpnprobe.mm.adapters.heads import (  # noqa: F401 - each registers its adapter
    anchor,
    fcos,
    free_anchor,
    fsaf,
    mask,
    roi_box,
    sparse_rcnn,
)
from fpnprobe.mm.adapters.observing.observation import Observation
from fpnprobe.mm.adapters.observing.observe import observe
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
