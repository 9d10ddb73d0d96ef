"""Bucket gradients of the one training forward at sampled steps; an intervention at every step."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions.backward import IntervenedBackward
from fpnprobe.mm.adapters import Observation, observe
from fpnprobe.mm.adapters.observe import Labels
from fpnprobe.mm.hook.second_look import SecondLook
from fpnprobe.mm.hook.training_step import loss_scale, loss_weight
from fpnprobe.probing.passes.measurement import Measurement
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.sample import Sample, steadiest
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
        intervened: what changes the backward pass of every step; samples then hold the gradient
            before the change.
        tell: is given a sentence about what a second look at a sample found.
        labels: who says which object a row belongs to, see `observe`.
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
        intervened: IntervenedBackward | None = None,
        tell: Callable[[str], object] = lambda _sentence: None,
        labels: Labels = "auto",
    ) -> None:
        self._labels: Labels = labels
        self._model = model.module if is_model_wrapper(model) else model
        self._wrapper, self._buckets = wrapper, buckets
        self._audited, self._derived = replace(probe, derive=False), replace(probe, derive=True)
        self._is_audited, self._due, self._step, self._take = audited, due, step, take
        self._intervened = intervened
        self._needs_values = intervened is not None and intervened.intervention.rule == "UW"
        self._look, self._tell = SecondLook(probe, buckets, tell=tell), tell
        self._steadiest = -1
        self._sampled = False
        self._seen: Observation | None = None
        self._measurement: Measurement | None = None
        self._coming: tuple[Observation, torch.Tensor] | None = None

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Arm the taps where this step is sampled or changed."""
        self._seen, self._sampled = None, self._due()
        if not self._sampled and self._intervened is None:
            yield
            return
        with ExitStack() as inside:
            if self._sampled:
                inside.enter_context(self._look.remembered(self._model))
            seen = inside.enter_context(
                observe(
                    self._model,
                    buckets=self._buckets,
                    values=self._sampled or self._needs_values,
                    arrivals=self._intervened is None,
                    labels=self._labels,
                )
            )
            yield
        self._seen = seen
        for note in dict.fromkeys(seen.notes):
            self._tell(note)

    @contextmanager
    def update(self, loss: torch.Tensor) -> Iterator[None]:
        """Make the extra backward passes, then let the training go on."""
        seen, self._seen = self._seen, None
        if seen is None:
            yield
            return
        try:
            with ExitStack() as stack:
                own = self._own_loss(seen, loss)
                if self._sampled:
                    stack.enter_context(self._measuring(seen, own))
                if self._intervened is not None:
                    self._coming = seen, own
                yield
        finally:
            self._coming = None
            seen.release()

    @contextmanager
    def _measuring(self, seen: Observation, loss: torch.Tensor) -> Iterator[None]:
        iteration, epoch = self._step()
        # The first sample is audited: it tells which label is best derived in later ones.
        audited = self._is_audited() or self._steadiest < 0
        probe = self._audited if audited else self._derived
        with probe.begin(
            loss,
            seen.partition,
            seen.taps(),
            auxiliary=seen.auxiliary,
            iteration=iteration,
            epoch=epoch,
            weight=loss_weight(self._wrapper),
            loss_scale=float(loss_scale(self._wrapper, loss)),
            derived=self._steadiest,
            arithmetic=seen.arithmetic,
        ) as measurement:
            measurement.run()
            if self._intervened is not None:
                measurement.total_now()  # the training's own pass will be another one
                self._finish(measurement)
                yield
                return
            self._measurement = measurement
            try:
                yield
            finally:
                self._measurement = None

    @contextmanager
    def backward(self) -> Iterator[None]:
        """Change the training's own backward pass, or observe its undivided gradient."""
        measurement, self._measurement = self._measurement, None
        coming, self._coming = self._coming, None
        if coming is not None and self._intervened is not None:
            with self._changed(self._intervened, *coming):
                yield
            return
        if measurement is None:
            yield
            return
        with measurement.total_from_backward():
            yield
        self._finish(measurement)

    def _finish(self, measurement: Measurement) -> None:
        sample = self._look.review(self._model, measurement.finish())
        if sample.sound and not math.isnan(sample.residuals.gradient):
            self._steadiest = steadiest(sample)
        self._take(sample)

    @property
    def proof(self) -> dict[str, Any] | None:
        """What the second look at the first sample of reduced precision found."""
        return self._look.proof

    @contextmanager
    def _changed(
        self, intervened: IntervenedBackward, seen: Observation, loss: torch.Tensor
    ) -> Iterator[None]:
        factor = loss_weight(self._wrapper) * float(loss_scale(self._wrapper, loss))
        with intervened.around(
            loss,
            seen.partition,
            seen.taps(),
            iteration=self._step()[0],
            factor=factor,
            auxiliary=seen.auxiliary,
            parameters=list(self._model.parameters()),
        ):
            yield

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
