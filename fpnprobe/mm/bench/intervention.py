"""Times of intervened training steps; what `fpnprobe bench intervention` reports."""

from typing import Any

import torch

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.interventions import READY_MADE, Intervention, intervention
from fpnprobe.interventions.backward import IntervenedBackward
from fpnprobe.interventions.masks import groups
from fpnprobe.mm.bench.bench_policy import BenchPolicy
from fpnprobe.mm.bench.steps import Steps
from fpnprobe.mm.bench.timing import Clock, turns
from fpnprobe.mm.hook.partition_observer import PartitionObserver
from fpnprobe.mm.hook.training_step import observed_steps
from fpnprobe.probing.probe import Probe
from fpnprobe.scales import COCO_BUCKETS, names

_SETTLED = 10  # warming up: after so many steps a balance has energies to act on


def measure(
    *, config: str | None, size: int, batch: int, repeats: int, device: str
) -> list[dict[str, Any]]:
    """Rows of `fpnprobe.bench.intervention.run`, which documents them."""
    if min(size, batch, repeats) < 1:
        raise FpnProbeError("size, batch and repeats must be at least 1")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EnvironmentProblem(f"device {device!r}: no CUDA device here; use --device cpu")
    steps, clock = Steps(config, size=size, batch=batch, device=device), Clock(device != "cpu")
    acting = {name: _Acting(steps, name) for name in READY_MADE}
    for turn in turns("bench intervention", repeats + 1):
        clock.time("step", steps.step)
        loss, inputs = steps.inputs("routes")

        def stages(loss: torch.Tensor = loss, inputs: list[torch.Tensor] = inputs) -> object:
            return torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)

        clock.time("pass", stages)
        for name, acted in acting.items():
            for _ in range(_SETTLED if turn == 0 else 1):
                with observed_steps(steps.wrapper, acted.observer):
                    clock.time(name, steps.step)
        if turn == 0:
            clock.times.clear()
    rows = []
    for name, acted in acting.items():
        limit = clock["step"] + acted.passes * clock["pass"]
        rows.append(
            {
                "intervention": name,
                "step_s": clock["step"],
                "intervened_step_s": clock[name],
                "ratio": clock[name] / clock["step"],
                "passes": acted.passes,
                "limit": limit,
                "ratio_to_limit": clock[name] / limit,
            }
        )
    return rows


class _Acting:
    """A ready-made intervention on the detector, as the hook would put it, without samples."""

    def __init__(self, steps: Steps, name: str) -> None:
        change = intervention(name)
        self.passes = passes(change)
        self.observer = PartitionObserver(
            steps.detector,
            steps.wrapper,
            probe=Probe("routes"),
            buckets=COCO_BUCKETS,
            policy=BenchPolicy(measured=False, start=10_000),  # past the first one of any rule
            intervened=IntervenedBackward(change),
        )


def passes(change: Intervention) -> int:
    """Extra backward passes of a step: one for each group of rows with gains of its own.

    >>> [passes(intervention(n)) for n in ("cut-direct", "no-small-direct", "balanced")]
    [0, 1, 3]
    """
    if change.balance is not None:
        return len(COCO_BUCKETS)
    return len(groups(change.gains, names(COCO_BUCKETS), ["loss"], {})[1])
