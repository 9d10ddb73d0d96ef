"""Times and memory of probed training steps; what `fpnprobe bench probe` reports."""

import copy
import functools
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.optim import OptimWrapper

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm.adapters import observe
from fpnprobe.mm.bench.bench_policy import BenchPolicy
from fpnprobe.mm.bench.timing import Clock, peak_memory
from fpnprobe.mm.detectors import build_detector, detector_config
from fpnprobe.mm.hook.norms_observer import NormsObserver, stage_parameters
from fpnprobe.mm.hook.partition_observer import PartitionObserver
from fpnprobe.mm.hook.training_step import StepObserver, observed_steps
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.probing.probe import Mode, Probe
from fpnprobe.scales import COCO_BUCKETS

INTERVALS = {"norms": 1, "routes": 50, "full": 100}
_KINDS: tuple[tuple[Mode, bool], ...] = (
    ("routes", True),
    ("routes", False),
    ("full", True),
    ("full", False),
)
_NORMS_STEPS = 100


class Steps:
    """One detector, one optimizer that does not move it, one batch."""

    def __init__(self, config: str | None, *, size: int, batch: int, device: str) -> None:
        spec = {"size": size} if config is None else {"config": config}
        classes = 5 if config is None else 80
        self.detector = build_detector(detector_config(spec, classes)).to(device).train()
        # A rate of zero: every step does the same work, and is a whole step.
        optimizer = torch.optim.SGD(self.detector.parameters(), lr=0.0, momentum=0.9)
        self.wrapper = OptimWrapper(optimizer)
        self._batch = generated_batch(size=size, images=batch, classes=classes)

    def data(self) -> dict[str, Any]:
        """A fresh copy of the batch."""
        return copy.deepcopy(self._batch)

    def step(self) -> None:
        """A training step."""
        torch.manual_seed(0)
        self.detector.train_step(self.data(), self.wrapper)

    def loss(self) -> torch.Tensor:
        """The loss of a forward pass of its own."""
        torch.manual_seed(0)
        data = self.detector.data_preprocessor(self.data(), training=True)
        loss: torch.Tensor = self.detector.parse_losses(self.detector(**data, mode="loss"))[0]
        return loss

    def held(self) -> Iterator[torch.Tensor]:
        """What stays between two steps: weights, their gradients, the optimizer's state."""
        yield from self.detector.buffers()
        for parameter in self.detector.parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
            yield from self.wrapper.optimizer.state.get(parameter, {}).values()

    def observer(self, mode: Mode, *, derived: bool) -> StepObserver:
        """What the hook would use, with the ledger left out."""
        return PartitionObserver(
            self.detector,
            self.wrapper,
            probe=Probe(mode, conflict="parameter", audit="sketch"),
            buckets=COCO_BUCKETS,
            policy=BenchPolicy(measured=True, audited=not derived),
        )

    def inputs(self, mode: Mode) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Loss and what its passes in this mode go to."""
        with observe(self.detector) as seen:
            loss = self.loss()
        taps = seen.taps()
        tensors = [tap.activation for tap in taps if tap.activation is not None]
        if mode == "full":
            tensors += [p for tap in taps for p in tap.parameters]
        return loss, [tensor for tensor in tensors if tensor.requires_grad]


def measure(
    *, config: str | None, size: int, batch: int, repeats: int, device: str
) -> list[dict[str, Any]]:
    """Rows of `fpnprobe.bench.probe.run`, which documents them."""
    if min(size, batch, repeats) < 1:
        raise FpnProbeError("size, batch and repeats must be at least 1")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EnvironmentProblem(f"device {device!r}: no CUDA device here; use --device cpu")
    steps, clock = Steps(config, size=size, batch=batch, device=device), Clock(device != "cpu")
    for turn in range(repeats + 1):
        _turn(steps, clock)
        if turn == 0:  # warming up
            clock.times.clear()
    plain_memory = peak_memory(steps.step, device, held=steps.held)
    rows = [_norms_row(steps, clock, repeats)]
    for mode, derived in _KINDS:
        with observed_steps(steps.wrapper, steps.observer(mode, derived=derived)):
            memory = peak_memory(steps.step, device, held=steps.held)
        passes = len(COCO_BUCKETS) + (not derived)
        limit = clock["step"] + passes * clock[f"{mode} pass"]
        probed = clock[f"{mode} {derived}"]
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
            }
        )
    return rows


def _turn(steps: Steps, clock: Clock) -> None:
    """Everything once, by turns, so that a busy machine slows all of it alike."""
    clock.time("step", steps.step)
    for mode, derived in _KINDS:
        with observed_steps(steps.wrapper, steps.observer(mode, derived=derived)):
            clock.time(f"{mode} {derived}", steps.step)
    for mode in ("routes", "full"):
        loss, inputs = steps.inputs(mode)
        clock.time(f"{mode} pass", functools.partial(_pass, loss, inputs))
        del loss, inputs
    steps.wrapper.zero_grad()
    clock.time("naive", lambda: steps.loss().backward())
    steps.wrapper.zero_grad()


def _pass(loss: torch.Tensor, inputs: list[torch.Tensor]) -> None:
    torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)


def _norms_row(steps: Steps, clock: Clock, repeats: int) -> dict[str, Any]:
    """Too cheap for a difference of steps: its own part is timed, with the ledger's records."""
    stages = stage_parameters(steps.detector)
    gradients = [p.grad for p in steps.detector.parameters() if p.grad is not None]
    if not gradients:
        steps.loss().backward()
        gradients = [p.grad for own in stages.values() for p in own if p.grad is not None]
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
    own, step = clock["norms"] / _NORMS_STEPS, clock["step"]
    limit = step + clock["read"] / _NORMS_STEPS
    return {
        "mode": "norms",
        "derived": False,
        "interval": INTERVALS["norms"],
        "step_s": step,
        "probed_step_s": step + own,
        "overhead": own / step,
        "passes": 0,
        "limit": limit,
        "ratio_to_limit": (step + own) / limit,
        "extra_ratio": own / (limit - step),
        "peak_memory_ratio": 1.0,
        "naive_s": 0.0,
        "speedup": 0.0,
    }
