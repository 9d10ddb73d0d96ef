"""Modes `routes` and `full`: bucket gradients of the one training forward, at sampled steps."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters import Observation, observe
from fpnprobe.mm.step import loss_scale, loss_weight
from fpnprobe.probing.measurement import Measurement
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.sample import Sample
from fpnprobe.scales import ScaleBucket


class PartitionObserver:
    """Measures sampled steps from their own forward and backward pass: a `StepObserver`.

    The loss measured is recomputed from the loss dict of the inner model, because distributed
    wrappers put a node into the graph behind it; it must be the optimizer's loss to the last bit.

    Args:
        model: the detector, possibly in a wrapper for several processes.
        wrapper: the run's optimizer wrapper.
        probe: what is measured.
        buckets: scale buckets.
        audited: whether the undivided gradient audits the sum of the buckets in this sample; else
            it gives the largest bucket, which saves a pass.
        due: whether to measure the step that begins.
        step: gives the current (iteration, epoch).
        take: is given each sample.
    """

    def __init__(
        self,
        model: Any,
        wrapper: OptimWrapper,
        *,
        probe: Probe,
        buckets: tuple[ScaleBucket, ...],
        audited: Callable[[], bool],
        due: Callable[[], bool],
        step: Callable[[], tuple[int, int]],
        take: Callable[[Sample], object],
    ) -> None:
        self._model = model.module if is_model_wrapper(model) else model
        self._wrapper, self._buckets = wrapper, buckets
        self._audited, self._derived = replace(probe, derive=False), replace(probe, derive=True)
        self._is_audited, self._due, self._step, self._take = audited, due, step, take
        self._seen: Observation | None = None
        self._measurement: Measurement | None = None

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Arm the taps where this step is sampled."""
        self._seen = None
        if not self._due():
            yield
            return
        with observe(self._model, buckets=self._buckets) as seen:
            yield
        self._seen = seen

    @contextmanager
    def update(self, loss: torch.Tensor) -> Iterator[None]:
        """Make the extra backward passes, then let the training go on."""
        seen, self._seen = self._seen, None
        if seen is None:
            yield
            return
        try:
            with self._measuring(seen, loss):
                yield
        finally:
            seen.release()

    @contextmanager
    def _measuring(self, seen: Observation, loss: torch.Tensor) -> Iterator[None]:
        iteration, epoch = self._step()
        probe = self._audited if self._is_audited() else self._derived
        with probe.begin(
            self._own_loss(seen, loss),
            seen.partition,
            seen.taps(),
            auxiliary=seen.auxiliary,
            iteration=iteration,
            epoch=epoch,
            weight=loss_weight(self._wrapper),
            loss_scale=float(loss_scale(self._wrapper, loss)),
        ) as measurement:
            measurement.run()
            self._measurement = measurement
            try:
                yield
            finally:
                self._measurement = None

    @contextmanager
    def backward(self) -> Iterator[None]:
        """Observe the undivided gradient of the training's own backward pass."""
        measurement, self._measurement = self._measurement, None
        if measurement is None:
            yield
            return
        with measurement.total_from_backward():
            yield
        self._take(measurement.finish())

    def flush(self) -> None:
        """Samples are handed over at once."""

    def _own_loss(self, seen: Observation, loss: torch.Tensor) -> torch.Tensor:
        own: torch.Tensor = self._model.parse_losses(seen.losses)[0]
        mine, given = float(own.detach()), float(loss.detach())
        if mine != given and not (math.isnan(mine) and math.isnan(given)):
            raise FpnProbeError(
                f"the optimizer was given the loss {given:.9g} but the model's own losses "
                f"sum to {mine:.9g}: the probe measures only the model's own loss; return "
                "all of it from the detector's loss(), or leave the probe out"
            )
        return own
