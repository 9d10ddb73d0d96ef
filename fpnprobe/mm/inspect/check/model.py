"""Checks a built detector: one batch through its loss, every invariant of the measurement."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters import Observation, observe
from fpnprobe.mm.hook.second_look import SecondLook
from fpnprobe.mm.inspect.check.batch import (
    begin_training,
)
from fpnprobe.mm.inspect.check.result import CheckResult, rows_with_objects
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.probing import Probe, Sample
from fpnprobe.probing.step_context import StepContext
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket

TOLERANCE = 1e-5
_DEAD_BRANCH = 0.3  # a branch whose last norm starts at zero would hide its gradients


def check_model(
    detector: Any,
    *,
    name: str = "",
    classes: int = 80,
    size: int = 160,
    tolerance: float = TOLERANCE,
    seed: int = 1,
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    batch: Mapping[str, Any] | None = None,
) -> CheckResult:
    """Check a built detector on one batch; its weights and mode may change.

    Args:
        detector: The detector; checked in training mode.
        name: Name for the table.
        classes: Number of classes.
        size: Side of the two generated images, in px.
        tolerance: Largest relative residual.
        seed: Seed of the batch.
        buckets: Scale buckets.
        batch: `inputs` and `data_samples` as the detector's data preprocessor takes them; the
            objects need `areas`. Without it, a batch is generated.
    """
    detector.train()
    _wake_branches(detector)
    if batch is None:
        bounds = [bucket.high for bucket in buckets[:-1]]
        batch = generated_batch(size=size, classes=classes, bounds=bounds, seed=seed)
    with warnings.catch_warnings():
        # mmdet's own deprecation notes: nothing that a user of this check can act on.
        warnings.simplefilter("ignore")
        begin_training()
        data = detector.data_preprocessor(copy.deepcopy(batch), training=True)
        torch.manual_seed(seed)
        look = SecondLook(Probe("full"), tuple(buckets))
        with look.remembered(detector), observe(detector, buckets, collect=True) as observation:
            losses = detector(**data, mode="loss")
        loss, _ = detector.parse_losses(losses)
        if not loss.requires_grad:
            raise FpnProbeError(f"{name}: no gradient flows from its loss: nothing to measure")
        sample = _measure_loss(loss, observation)
        judged_sample = sample.judged(sample.residuals.judge("float32", tolerance=tolerance))
        verdict = look.review(detector, judged_sample).verdict
    terms = tuple(call.term for call in observation.partition.calls)
    return CheckResult(
        name,
        sample.residuals,
        tolerance,
        tuple(dict.fromkeys(terms)),
        sample.passes,
        rows=rows_with_objects(observation.partition, observation.witness.rows),
        witnessed=dict(observation.witness.witnessed),
        unlabeled=sample.unlabeled,
        sentence=verdict.sentence,
        # A tolerance that asks for more than float32 gives is not met by saying so.
        acquitted=bool(verdict.over) and verdict.sound and tolerance >= TOLERANCE,
        frozen=all(r.state == "frozen" for r in sample.records if r.kind == "parameter"),
    )


def _measure_loss(loss: torch.Tensor, observation: Observation) -> Sample:
    """The sample of an observed loss.

    Raises:
        FpnProbeError: With everything that stands in its way.
    """
    obstacles = list(dict.fromkeys(observation.witness.problems or ()))
    try:
        sample = Probe("full").measure(
            loss,
            observation.partition,
            observation.taps(),
            StepContext(auxiliary=observation.auxiliary),
        )
        if not sample.finite:
            obstacles.append("a gradient is not finite")
    except FpnProbeError as error:
        obstacles.append(str(error))
    if obstacles:
        raise FpnProbeError("; also: ".join(obstacles))
    return sample


def _wake_branches(detector: nn.Module) -> None:
    for module in detector.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and isinstance(weight, nn.Parameter):
            with torch.no_grad():
                if not bool(weight.any()):
                    weight.fill_(_DEAD_BRANCH)
