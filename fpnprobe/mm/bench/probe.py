"""Times and memory of probed training steps; what `fpnprobe bench probe` reports."""

import functools
from collections.abc import Mapping
from typing import Any

import torch

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm.bench.bench_policy import BenchPolicy
from fpnprobe.mm.bench.rival_steps import rival_works
from fpnprobe.mm.bench.steps import Steps
from fpnprobe.mm.bench.timing import Clock, peak_memory, turns
from fpnprobe.mm.hook.norms_observer import NormsObserver, stage_parameters
from fpnprobe.mm.hook.training_step import StepObserver, observed_steps
from fpnprobe.probing.probe import Mode
from fpnprobe.scales import COCO_BUCKETS

INTERVALS = {"norms": 1, "routes": 50, "full": 100}
_KINDS: tuple[tuple[Mode, bool], ...] = (
    ("routes", True),
    ("routes", False),
    ("full", True),
    ("full", False),
)
_NORMS_STEPS = 100


def measure(
    *, config: str | None, size: int, batch: int, repeats: int, device: str, followed: bool
) -> list[dict[str, Any]]:
    """Rows of `fpnprobe.bench.probe.run`, which documents them."""
    if min(size, batch, repeats) < 1:
        raise FpnProbeError("size, batch and repeats must be at least 1")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EnvironmentProblem(f"device {device!r}: no CUDA device here; use --device cpu")
    steps, clock = Steps(config, size=size, batch=batch, device=device), Clock(device != "cpu")
    observers = _observers(steps, followed=followed)
    for turn in turns("bench probe", repeats + 1):
        _turn(steps, clock, observers)
        if turn == 0:  # warming up
            clock.times.clear()
    plain_memory = peak_memory(steps.step, device, held=steps.held)
    rows = [_norms_row(steps, clock, repeats)]
    for mode, derived in _KINDS:
        with observed_steps(steps.wrapper, observers[_name(mode, derived=derived)]):
            memory = peak_memory(steps.step, device, held=steps.held)
        passes = len(COCO_BUCKETS) + (not derived)
        limit = clock["step"] + passes * clock[f"{mode} pass"]
        probed = clock[_name(mode, derived=derived)]
        followed_s = clock[_name(mode, derived=derived, followed=True)] if followed else 0.0
        extra = probed - clock["step"]
        naive = (len(COCO_BUCKETS) + 1) * clock["naive"]
        rows.append(
            {
                "mode": mode,
                "derived": derived,
                "interval": INTERVALS[mode],
                "step_s": clock["step"],
                "probed_step_s": probed,
                "overhead": extra / (INTERVALS[mode] * clock["step"]),
                "passes": passes,
                "limit": limit,
                "ratio_to_limit": probed / limit,
                "extra_ratio": extra / (limit - clock["step"]),
                "peak_memory_ratio": memory / plain_memory,
                "naive_s": naive,
                "speedup": naive / extra,
                "followed_step_s": followed_s,
                "followed_ratio": followed_s / probed,
            }
        )
    return [*rows, *_rival_rows(steps, clock, plain_memory, device)]


def _rival_rows(steps: Steps, clock: Clock, plain_memory: int, device: str) -> list[dict[str, Any]]:
    """Rows of what users have without the probe, at each step."""
    rows = []
    for name, work in rival_works(steps):
        memory = peak_memory(work, device, held=steps.held)
        step, rival = clock["step"], clock[name]
        rows.append(
            {
                "mode": name,
                "derived": False,
                "interval": 1,
                "step_s": step,
                "probed_step_s": rival,
                "overhead": rival / step - 1,
                "passes": 0,
                "limit": step,
                "ratio_to_limit": rival / step,
                "extra_ratio": 0.0,
                "peak_memory_ratio": memory / plain_memory,
                "naive_s": 0.0,
                "speedup": 0.0,
                "followed_step_s": 0.0,
                "followed_ratio": 0.0,
            }
        )
    return rows


def _name(mode: Mode, *, derived: bool, followed: bool = False) -> str:
    return f"{mode} {'derived' if derived else 'audited'}" + " followed" * followed


def _observers(steps: Steps, *, followed: bool) -> dict[str, StepObserver]:
    """One observer of each kind for all turns, as a training has one.

    Its first sample is dearer, whatever its kind: it is audited, to learn which bucket is best
    derived, and in reduced precision it is measured again in float32.
    """
    return {
        _name(mode, derived=derived, followed=follows): steps.observer(
            mode, derived=derived, labels="provenance" if follows else "auto"
        )
        for mode, derived in _KINDS
        for follows in ([False, True] if followed else [False])
    }


def _turn(steps: Steps, clock: Clock, observers: Mapping[str, StepObserver]) -> None:
    """Everything once, by turns, so that a busy machine slows all of it alike."""
    clock.time("step", steps.step)
    for name, observer in observers.items():
        with observed_steps(steps.wrapper, observer):
            clock.time(name, steps.step)
    for mode in ("routes", "full"):
        loss, inputs = steps.inputs(mode)
        clock.time(f"{mode} pass", functools.partial(_pass, loss, inputs))
        del loss, inputs
    steps.wrapper.zero_grad()
    clock.time("naive", lambda: steps.loss().backward())
    steps.wrapper.zero_grad()
    for name, work in rival_works(steps):
        clock.time(name, work)


def _pass(loss: torch.Tensor, inputs: list[torch.Tensor]) -> None:
    torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)


def _norms_row(steps: Steps, clock: Clock, repeats: int) -> dict[str, Any]:
    """Too cheap for a difference of steps: its own part is timed, with the ledger's records."""
    stages = stage_parameters(steps.detector)
    gradients = [p.grad for p in steps.detector.parameters() if p.grad is not None]
    if not gradients:
        steps.loss().backward()
        gradients = [p.grad for probing in stages.values() for p in probing if p.grad is not None]
    observer = NormsObserver(
        steps.wrapper,
        stages,
        policy=BenchPolicy(measured=True),
    )

    def observe_steps() -> None:
        for _ in range(_NORMS_STEPS):
            with observer.forward(), observer.backward():
                pass
        observer.flush()

    def read_gradients() -> None:
        for _ in range(_NORMS_STEPS):
            for gradient in gradients:
                gradient.sum()

    for _ in range(repeats):
        clock.time("norms", observe_steps)
        clock.time("read", read_gradients)
    steps.wrapper.zero_grad()
    probing, step = clock["norms"] / _NORMS_STEPS, clock["step"]
    limit = step + clock["read"] / _NORMS_STEPS
    return {
        "mode": "norms",
        "derived": False,
        "interval": INTERVALS["norms"],
        "step_s": step,
        "probed_step_s": step + probing,
        "overhead": probing / step,
        "passes": 0,
        "limit": limit,
        "ratio_to_limit": (step + probing) / limit,
        "extra_ratio": probing / (limit - step),
        "peak_memory_ratio": 1.0,
        "naive_s": 0.0,
        "speedup": 0.0,
        "followed_step_s": 0.0,
        "followed_ratio": 0.0,
    }
