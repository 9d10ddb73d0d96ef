"""Bucket gradients of the one training forward at sampled steps; an intervention at every step."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions.backward import IntervenedBackward
from fpnprobe.mm.adapters import Observation, observe
from fpnprobe.mm.adapters.observing.observe import Labels
from fpnprobe.mm.hook.second_look import SecondLook
from fpnprobe.mm.hook.training_step import loss_scale, loss_weight
from fpnprobe.probing.passes.measurement import Measurement
from fpnprobe.probing.passes.update_scales import UpdateScales
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.sample import steadiest
from fpnprobe.probing.sampling.policy import SamplingPolicy
from fpnprobe.probing.soundness.counter import Soundness
from fpnprobe.probing.step_context import StepContext
from fpnprobe.scales import ScaleBucket


class PartitionObserver:
    """Measures sampled steps from their own forward and backward pass: a `StepObserver`.

    The loss measured is recomputed from the loss dict of the inner model, because distributed
    wrappers put a node into the graph behind it; it must be the optimizer's loss to the last bit.

    Args:
        model: The detector, possibly in a wrapper for several processes.
        wrapper: The run's optimizer wrapper.
        probe: What is measured.
        buckets: Scale buckets.
        policy: Decides which steps are measured, and takes the samples.
        intervened: What changes the backward pass of every step; samples then hold the gradient
            before the change.
        labels: Who says which object a row belongs to, see `observe`.
        soundness: Holds the run's proof in float32, see `SecondLook`.
    """

    def __init__(
        self,
        model: Any,
        wrapper: OptimWrapper,
        *,
        probe: Probe,
        buckets: tuple[ScaleBucket, ...],
        policy: SamplingPolicy,
        intervened: IntervenedBackward | None = None,
        labels: Labels = "auto",
        soundness: Soundness | None = None,
    ) -> None:
        self._labels: Labels = labels
        self._model = model.module if is_model_wrapper(model) else model
        self._wrapper, self._buckets = wrapper, buckets
        self._probe, self._policy = probe, policy
        self._intervened = intervened
        self._needs_values = intervened is not None and intervened.intervention.rule == "UW"
        self._look = SecondLook(probe, buckets, soundness=soundness, tell=policy.warn)
        self._steadiest_label = -1
        self._sampled = False
        self._seen: Observation | None = None
        self._measurement: Measurement | None = None
        self._pending_intervention: tuple[Observation, torch.Tensor] | None = None

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Arm the taps where this step is sampled or changed."""
        self._seen, self._sampled = None, self._policy.begin_step()
        if not self._sampled and self._intervened is None:
            yield
            return
        with ExitStack() as inside:
            if self._sampled:
                inside.enter_context(self._look.remembered(self._model))
            observation = inside.enter_context(
                observe(
                    self._model,
                    buckets=self._buckets,
                    values=self._sampled or self._needs_values,
                    arrivals=self._intervened is None,
                    labels=self._labels,
                )
            )
            yield
        self._seen = observation
        for note in dict.fromkeys(observation.notes):
            self._policy.warn(note)

    @contextmanager
    def update(self, loss: torch.Tensor) -> Iterator[None]:
        """Make the extra backward passes, then let the training go on."""
        observation, self._seen = self._seen, None
        if observation is None:
            yield
            return
        try:
            with ExitStack() as stack:
                model_loss = self._model_loss(observation, loss)
                if self._sampled:
                    stack.enter_context(self._measure_backward(observation, model_loss))
                if self._intervened is not None:
                    self._pending_intervention = observation, model_loss
                yield
        finally:
            self._pending_intervention = None
            observation.release()

    @contextmanager
    def _measure_backward(self, observation: Observation, loss: torch.Tensor) -> Iterator[None]:
        iteration, epoch = self._policy.position()
        # The first sample is audited: it tells which label is best derived in later ones.
        audited = self._policy.is_audited() or self._steadiest_label < 0
        probe = replace(self._probe, derive=not audited, derived=self._steadiest_label)
        step = StepContext(
            iteration=iteration,
            epoch=epoch,
            weight=loss_weight(self._wrapper),
            loss_scale=float(loss_scale(self._wrapper, loss)),
            auxiliary=tuple(observation.auxiliary),
            arithmetic=observation.arithmetic,
            scales=UpdateScales(self._wrapper.optimizer),
        )
        with probe.begin(loss, observation.partition, observation.taps(), step) as measurement:
            measurement.run()
            if self._intervened is not None:
                measurement.total_now()  # the training's own pass will be another one
                self._finish_measurement(measurement)
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
        pending, self._pending_intervention = self._pending_intervention, None
        if pending is not None and self._intervened is not None:
            with self._change_backward(self._intervened, *pending):
                yield
            return
        if measurement is None:
            yield
            return
        with measurement.total_from_backward():
            yield
        self._finish_measurement(measurement)

    def _finish_measurement(self, measurement: Measurement) -> None:
        sample = self._look.review(self._model, measurement.finish())
        if sample.sound and not math.isnan(sample.residuals.gradient):
            self._steadiest_label = steadiest(sample)
        self._policy.take_sample(sample)

    @contextmanager
    def _change_backward(
        self, intervened: IntervenedBackward, observation: Observation, loss: torch.Tensor
    ) -> Iterator[None]:
        factor = loss_weight(self._wrapper) * float(loss_scale(self._wrapper, loss))
        with intervened.around(
            loss,
            observation.partition,
            observation.taps(),
            iteration=self._policy.position()[0],
            factor=factor,
            auxiliary=observation.auxiliary,
            parameters=list(self._model.parameters()),
        ):
            yield

    def flush(self) -> None:
        """Samples are handed over at once."""

    def _model_loss(self, observation: Observation, loss: torch.Tensor) -> torch.Tensor:
        model_loss: torch.Tensor = self._model.parse_losses(observation.losses)[0]
        sum_of_losses, optimized = float(model_loss.detach()), float(loss.detach())
        both_nan = math.isnan(sum_of_losses) and math.isnan(optimized)
        if sum_of_losses != optimized and not both_nan:
            raise FpnProbeError(
                f"the optimizer was given the loss {optimized:.9g} but the model's own losses "
                f"sum to {sum_of_losses:.9g}: the probe measures only the model's own loss; return "
                "all of it from the detector's loss(), or leave the probe out"
            )
        return model_loss
