"""Which object sizes does each backbone stage of a detector learn from, and by which path?

>>> import fpnprobe
>>> [bucket.name for bucket in fpnprobe.COCO_BUCKETS]
['small', 'medium', 'large']

**The way of a loss row to the report.** A head computes its loss; its adapter (`mm.adapters`) says
which object each row of the loss belongs to. `probing.LossPartition` sorts the rows into size
buckets by the objects' annotated areas, which `mm.object_areas` carried there. `probing.Probe` runs
one backward pass for each bucket up to the taps and keeps norms and inner products. Their records
go into the `ledger`, a parquet file. After the training `evaluation` judges the detections, and
`evidence` sets variants against each other. `report.tables` reads all that, `report.sections` makes
`figures` and sentences of it, `report.page` sets them.

**The packages, from the ground up; each imports lower ones only** (`tests/unit/test_layout.py` has
the floors in full):

    errors, scales, suggestions   the one error, the size buckets, "did you mean"
    methods, statistics           the paper's equations as plain modules; intervals and indices
    variants, store               names of variants; everything that lies on disk, without torch
    ledger, data                  what was measured; images and annotations
    probing, interventions        split a gradient, or change it, in any PyTorch model
    config, evaluation            the study file; the AP of one detector
    attribution                   captum on a chain of modules
    evidence, figures             what a study proves; one SVG a file
    mm                            all that knows mmdet: adapters, detectors, hook, training ...
                                  and mm.inspect, mm.bench, which no training imports
    report, study                 tables, sections, page; folder, runner, commands
    notebook, run                 what `fpnprobe.open` gives, and how it shows itself in Jupyter
    doctor, bench, cli            the command line

**Never:** drawing in what measures, a model in what draws, mmdet outside `mm`, an import upward, a
number that changes without a bump of `results_version`.

**The nouns.** *Stage* C2..C5: an output of the backbone; *level* P2..: a map of the pyramid.
*Bucket*: a range of annotated area. *Tap*: a named tensor whose gradient is read. *Route*: the
consumer by which a gradient comes back to a stage: direct, deeper or auxiliary. *Loss row*: one
entry of an unreduced loss. *Ledger*: the table of gradients of one training. *Study*: a question,
variants x seeds. *Cell*: one variant with one seed. *Variant*: a way to build and supervise the
pyramid; *intervention*: a change of the backward pass alone; *control*: the variant that it is
compared with. *Evidence*: tables over several cells. *Claim*: a sentence of the paper with a
written rule for its verdict.

How to add a head, a figure, a verb or a study key: `.github/CONTRIBUTING.md`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket

if TYPE_CHECKING:
    from fpnprobe.ledger import Ledger
    from fpnprobe.probing.watch import watch
    from fpnprobe.run import compare_runs as compare
    from fpnprobe.run import open_run as open

__version__ = "0.1.0"

__all__ = [
    "COCO_BUCKETS",
    "FpnProbeError",
    "Ledger",
    "ScaleBucket",
    "__version__",
    "compare",
    "open",
    "watch",
]

_LAZY = {
    "Ledger": ("fpnprobe.ledger", "Ledger"),
    "compare": ("fpnprobe.run", "compare_runs"),
    "open": ("fpnprobe.run", "open_run"),
    "watch": ("fpnprobe.probing.watch", "watch"),
}


def __getattr__(name: str) -> Any:
    """Import the public names that are not light when they are asked for (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module 'fpnprobe' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """List the public names, those that are imported later too, so that Tab completes them."""
    return sorted(__all__)
