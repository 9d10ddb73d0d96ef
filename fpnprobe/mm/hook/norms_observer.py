"""Mode `norms`: how long each stage's ordinary gradient is, at every step, at next to no cost.

The gradients that training computes anyway are read after the backward pass and before clipping:
a few fused kernels, no extra pass, and nothing that makes the host wait for the device.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper

from fpnprobe.ledger import GradientRecord
from fpnprobe.mm.detectors.stages import stages
from fpnprobe.mm.hook.training_step import loss_scale
from fpnprobe.probing.sampling.policy import SamplingPolicy

_BUFFER = 100  # steps kept on the device until they are fetched in one piece


class NormsObserver:
    """Records the norm of each stage's parameter gradient: a `StepObserver`.

    Under accumulation it is that of the whole update, at its last iteration; under DDP, of the
    mean over processes; under fp16, without the loss scale.

    Args:
        wrapper: The run's optimizer wrapper.
        stages: Parameters by tap.
        policy: Decides which steps are measured, and takes the records of up to `_BUFFER` steps.
    """

    def __init__(
        self,
        wrapper: OptimWrapper,
        stages: Mapping[str, Sequence[torch.nn.Parameter]],
        *,
        policy: SamplingPolicy,
    ) -> None:
        self._wrapper, self._policy = wrapper, policy
        self._seconds = 0.0
        self._taps = list(stages)
        self._stages = [
            [p for p in parameters if p.requires_grad] for parameters in stages.values()
        ]
        self._steps: list[tuple[int, int]] = []
        self._norms: list[torch.Tensor] = []
        self._armed = False

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Ask whether this step is measured."""
        self._armed = self._policy.begin_step()
        yield

    def update(self, loss: torch.Tensor) -> Any:
        """Nothing to do: no graph is needed."""
        return nullcontext(loss)

    @contextmanager
    def backward(self) -> Iterator[None]:
        """Read the gradients once they are whole."""
        yield
        if self._armed and self._wrapper.should_update():
            start = time.perf_counter()
            self._steps.append(self._policy.position())
            self._norms.append(stage_norms(self._wrapper, self._stages))
            self._seconds += time.perf_counter() - start
            if len(self._steps) >= _BUFFER:
                self.flush()

    def flush(self) -> None:
        """Fetch what is on the device and hand it over; the one place that waits."""
        if not self._steps:
            return
        table = torch.stack(self._norms).tolist()
        start = time.perf_counter()
        records = [
            self._record(step, tap, l2)
            for step, norms in zip(self._steps, table, strict=True)
            for tap, l2 in zip(self._taps, norms, strict=True)
        ]
        seconds = self._seconds + time.perf_counter() - start
        self._steps, self._norms, self._seconds = [], [], 0.0
        self._policy.take_norms(records, seconds)

    def _record(self, step: tuple[int, int], tap: str, l2: float) -> GradientRecord:
        frozen = not self._stages[self._taps.index(tap)]
        return GradientRecord(
            iteration=step[0],
            epoch=step[1],
            tap=tap,
            level=int(tap[1:]),
            kind="parameter",
            route="total",
            bucket="all",
            term="all",
            l2=math.nan if frozen else l2,
            share=math.nan,
            n_objects=-1,
            n_rows=-1,
            state="frozen" if frozen else "measured" if math.isfinite(l2) else "nonfinite",
        )


def stage_parameters(model: Any) -> dict[str, tuple[torch.nn.Parameter, ...]]:
    """Parameters of each backbone stage by tap, of a detector or its distributed wrapper."""
    detector = model.module if is_model_wrapper(model) else model
    return {stage.name: tuple(stage.parameters) for stage in stages(detector.backbone)}


def stage_norms(
    wrapper: OptimWrapper, stages: Sequence[Sequence[torch.nn.Parameter]]
) -> torch.Tensor:
    """Norm of each stage's `.grad`, `(stages,)` float32 on its device, without the loss scale.

    One fused kernel for all tensors, then their norms' norm; nothing is copied to the host.
    """
    gradients = [
        [p.grad for p in stage_gradients if p.grad is not None] for stage_gradients in stages
    ]
    flat = [gradient for stage_gradients in gradients for gradient in stage_gradients]
    if not flat:
        return torch.zeros(len(stages))
    norms = iter(torch._foreach_norm(flat))
    zero = torch.zeros((), device=flat[0].device)
    by_stage = [
        torch.linalg.vector_norm(torch.stack([next(norms).float() for _ in stage_gradients]))
        if stage_gradients
        else zero
        for stage_gradients in gradients
    ]
    return torch.stack(by_stage) / loss_scale(wrapper, flat[0])
