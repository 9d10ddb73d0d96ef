"""One forward pass measured once more, on a copy of the detector in another arithmetic."""

import copy
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fpnprobe.mm.adapters import observe
from fpnprobe.mm.hook.random_states import states_restored
from fpnprobe.mm.hook.recast import MixedTypes, cast_inputs
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.sample import Residuals
from fpnprobe.probing.soundness.arithmetic import whole_float32
from fpnprobe.probing.step_context import StepContext
from fpnprobe.scales import ScaleBucket


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass as it began: what the detector was given, and the state it started from."""

    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    buffers: Mapping[str, Tensor]
    generators: tuple[Any, ...]


def measure_again(
    model: Any, step: Step, dtype: torch.dtype, probe: Probe, buckets: tuple[ScaleBucket, ...]
) -> Residuals:
    """Measure a step on a copy of the detector, from the state that the step began with."""
    twin = copy.deepcopy(model)
    twin.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in twin.named_buffers():
            buffer.copy_(step.buffers.get(name, buffer))
    twin.to(dtype)
    arguments, keywords = cast_inputs(step.arguments, dtype), cast_inputs(dict(step.named), dtype)
    with ExitStack() as inside:
        inside.enter_context(whole_float32())
        inside.enter_context(states_restored(step.generators))
        inside.enter_context(torch.enable_grad())
        with MixedTypes(), observe(twin, buckets) as observation:
            losses = twin(*arguments, **keywords)
        loss, _ = twin.parse_losses(losses)
        try:
            return probe.measure(
                loss,
                observation.partition,
                observation.taps(),
                StepContext(auxiliary=observation.auxiliary),
            ).residuals
        finally:
            observation.release()
