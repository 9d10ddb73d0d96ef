"""Keeps the probe's own statistics: when it measures, at what cost, with which residuals."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.dist import get_world_size

from fpnprobe.probing.passes.distributed import agree_on_first
from fpnprobe.probing.sample import Sample
from fpnprobe.probing.sampling.budget import Budget
from fpnprobe.probing.sampling.cost import Cost
from fpnprobe.probing.sampling.schedule import Schedule
from fpnprobe.probing.soundness.counter import Soundness
from fpnprobe.store.documents import number_or_none


class Account:
    """Decides which iterations are due, and keeps the books for the manifest.

    Args:
        mode: `norms`, `routes` or `full`.
        schedule: Due iterations where there is no budget.
        budget: Fraction of the training time, or None.
        strict: Raise where an invariant does not hold.
        tell: Is given warnings.
    """

    def __init__(
        self,
        mode: str,
        *,
        schedule: Schedule,
        budget: float | None,
        strict: bool = False,
        tell: Callable[[str], object] = lambda _sentence: None,
    ) -> None:
        self.mode, self.schedule = mode, schedule
        self.soundness = Soundness(strict=strict, tell=tell)
        self.cost = Cost()
        self.budget = (
            None if budget is None else Budget(budget, cost=self.cost, agree=agree_on_first)
        )
        self.facts: dict[str, Any] = {}
        self._norms_s, self._start = 0.0, math.nan

    def due(self, iteration: int) -> bool:
        """A step begins; return whether it is measured. Call it once for each iteration."""
        if self.mode == "norms":  # reads clocks at no step; its own time is told to `add_norms`
            self._start = time.perf_counter() if math.isnan(self._start) else self._start
            return self.schedule.due(iteration)
        if self.budget is not None:
            return self.budget.begin(iteration)
        due = self.schedule.due(iteration)
        self.cost.begin(probed=due)
        return due

    def add(self, sample: Sample) -> None:
        """Count a sample of mode `routes` or `full`; see `Soundness.add`."""
        self.soundness.add(sample)

    @property
    def samples(self) -> int:
        """Samples so far."""
        return self.soundness.samples

    def add_norms(self, samples: int, *, seconds: float) -> None:
        """Count samples of mode `norms`, and the time of this process that they took."""
        self.soundness.samples += samples
        self._norms_s += seconds

    @property
    def fraction(self) -> float:
        """Time spent on probing, relative to that of training; NaN where it was not measured."""
        if self.mode == "norms":
            return self._norms_s / (time.perf_counter() - self._start)
        return self.cost.fraction

    def summary(self) -> dict[str, Any]:
        """For the manifest: JSON, with None for what was not measured."""
        budget = self.budget
        interval = self.schedule.interval if budget is None else budget.interval
        return {
            "mode": self.mode,
            "interval": interval,
            "iterations": sorted(self.schedule.iterations) if budget is None else [],
            "budget": None if budget is None else budget.fraction,
            "cost": number_or_none(self.fraction),
            "step_s": number_or_none(self.cost.step_s),
            "extra_s": number_or_none(self.cost.extra_s),
            **self.soundness.summary(),
            "facts": self.facts,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run goes on from."""
        return {
            "cost": self.cost.state_dict(),
            "interval": None if self.budget is None else self.budget.interval,
            "soundness": self.soundness.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.cost.load_state_dict(state["cost"])
        if self.budget is not None:
            self.budget.interval = state["interval"]
        self.soundness.load_state_dict(state.get("soundness", state))


def circumstances(runner: Any) -> dict[str, Any]:
    """Describe the gradients of this run; asked inside a forward pass, which knows its precision.

    `batch` is always global, clipping always comes after the measurement, and a loss scale is
    always divided out: these entries say whether there was one.
    """
    wrapper = runner.optim_wrapper
    weight = next(runner.model.parameters())
    kind = weight.device.type
    half = torch.is_autocast_enabled(kind)
    return {
        "precision": str(torch.get_autocast_dtype(kind) if half else weight.dtype)[6:],
        "loss_scale": "divided out" if hasattr(wrapper, "loss_scaler") else None,
        "accumulation": wrapper._accumulative_counts,
        "clipping": "measured before it" if wrapper.clip_grad_kwargs else None,
        "processes": get_world_size(),
        "batch": "global",
    }
