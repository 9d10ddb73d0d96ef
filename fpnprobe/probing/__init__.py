"""Split a training gradient by object scale, in plain PyTorch: any model, no mmdet.

Three steps. Label the rows of the loss, name the taps, measure:

>>> import torch
>>> stage2, stage3 = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
>>> c2 = stage2(torch.ones(6, 4)); c3 = stage3(c2.tanh())
>>> rows = (c2 + c3).square().mean(1)                   # unreduced loss of six rows
>>> partition = LossPartition()
>>> partition.add_rows(rows, torch.tensor([0, 0, 1, 2, 3, 3]))
>>> taps = [Tap("C2", 2, c2, routed=True), Tap("C3", 3, c3, routed=True)]
>>> sample = Probe().measure(rows.mean(), partition, taps)
>>> sample.residuals.worst < 1e-5
True

`LossPartition` says whose a row is, `Tap` where to listen, `Routes` by which consumer a gradient
arrives, and `Probe` writes `fpnprobe.Ledger` records. `fpnprobe.watch` does it during training.
"""

from fpnprobe.probing.calls import LossCall
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.measurement import Measurement
from fpnprobe.probing.passes.reduction import Reduction
from fpnprobe.probing.passes.routes import Routes
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.rows import LossRows
from fpnprobe.probing.sample import Residuals, Sample
from fpnprobe.probing.sampling.budget import Budget
from fpnprobe.probing.sampling.policy import SamplingPolicy
from fpnprobe.probing.sampling.schedule import Schedule
from fpnprobe.probing.step_context import StepContext
from fpnprobe.probing.taps import Tap

__all__ = [
    "Budget",
    "LossCall",
    "LossPartition",
    "LossRows",
    "Measurement",
    "Probe",
    "Reduction",
    "Residuals",
    "Routes",
    "Sample",
    "SamplingPolicy",
    "Schedule",
    "StepContext",
    "Tap",
]
