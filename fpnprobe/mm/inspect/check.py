"""Do the invariants hold on this model? One batch, generated or given, through any mmdet config."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm import quiet
from fpnprobe.mm.adapters import Observation, observe
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.detectors.stock import (
    OTHER_CLASSES,
    for_every_part,
    read_config,
    stock_model,
)
from fpnprobe.mm.hook.second_look import SecondLook
from fpnprobe.mm.inspect.check_batch import (
    BatchNeeds,
    begin_training,
    pad_no_further,
    without_synchronization,
)
from fpnprobe.mm.inspect.check_result import CheckResult, rows_with_objects
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.mm.inspect.open_detector import open_config
from fpnprobe.probing import Probe, Sample
from fpnprobe.probing.step_context import StepContext
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket

TOLERANCE = 1e-5
_TOO_SMALL = ("out of range", "greater than actual input size", "ill-defined empirical covariance")
_ENVIRONMENT = ("install", "connect", "offline mode")
_DEAD_BRANCH = 0.3  # a branch whose last norm starts at zero would hide its gradients


def check_config(
    config: str,
    *,
    size: int = 160,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    data: Path | None = None,
    split: str = "val",
) -> CheckResult:
    """Build an mmdet config with random weights, and check it on one batch.

    Nothing is downloaded. The architecture is the config's own; only the images are small.

    Args:
        config: A config file, or the name of one shipped with mmdet.
        size: Side of the two generated images in px, or the short side of the given ones.
        tolerance: Largest relative residual.
        seed: Seed of weights and batch.
        buckets: Scale buckets.
        data: COCO folder whose first two images are the batch; without it, one is generated.
        split: Name of its annotation file.

    Raises:
        FpnProbeError: If the config cannot be read or built, or a head is not known.
    """
    if size < 32 or not tolerance >= 0:
        raise FpnProbeError(
            f"size={size}, tolerance={tolerance}: expected a side of at least 32 px and a "
            "tolerance of at least 0"
        )
    if data is not None:
        opened = open_config(config, None, data=data, split=split, size=size, seed=seed)
        given = [opened.images[i] for i in range(min(2, len(opened.images)))]
        batch = {key: [sample[key] for sample in given] for key in ("inputs", "data_samples")}
        return check_model(
            opened.detector, name=config, tolerance=tolerance, buckets=buckets, batch=batch
        )
    loaded = read_config(config)
    preprocessor = (loaded.get("model") or {}).get("data_preprocessor") or {}
    if preprocessor.get("type") == "MultiBranchDataPreprocessor":
        raise FpnProbeError(
            "its training takes several batches at once (semi-supervised): check the detector "
            "inside it, model.detector of the config"
        )
    classes = _classes(loaded.get("model"))
    needs = BatchNeeds.of(loaded)
    try:
        model = stock_model(config, num_classes=None, weights=None)
        for_every_part(model, without_synchronization)
        for_every_part(model, partial(pad_no_further, size=size))
        with quiet.construction():
            detector = build_detector(model, seed=seed)
    except Exception as error:  # a config is a program
        raise as_problem(error, "cannot be built") from error
    bounds = [bucket.high for bucket in buckets[:-1]]
    # More queries than places, or a map smaller than its kernel, on so small an image.
    for pixels in (size, 2 * size, 4 * size):
        try:
            drawn = generated_batch(size=pixels, classes=classes, bounds=bounds)
            batch = needs.adapt(drawn, stuff_class=_stuff_class(loaded.model))
            return check_model(
                detector, name=config, tolerance=tolerance, buckets=buckets, batch=batch
            )
        except FpnProbeError:
            raise
        except Exception as error:
            is_too_small = any(words in str(error) for words in _TOO_SMALL)
            if not is_too_small or pixels == 4 * size:
                raise as_problem(error, "fails in its forward pass") from error
    raise AssertionError


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
        with look.remembered(detector), observe(detector, buckets, collect=True) as seen:
            losses = detector(**data, mode="loss")
        loss, _ = detector.parse_losses(losses)
        if not loss.requires_grad:
            raise FpnProbeError(f"{name}: no gradient flows from its loss: nothing to measure")
        sample = _measured(loss, seen)
        given = sample.judged(sample.residuals.judge("float32", tolerance=tolerance))
        verdict = look.review(detector, given).verdict
    terms = tuple(call.term for call in seen.partition.calls)
    return CheckResult(
        name,
        sample.residuals,
        tolerance,
        tuple(dict.fromkeys(terms)),
        sample.passes,
        rows=rows_with_objects(seen.partition, seen.witness.rows),
        witnessed=dict(seen.witness.witnessed),
        unlabeled=sample.unlabeled,
        sentence=verdict.sentence,
        # A tolerance that asks for more than float32 gives is not met by saying so.
        acquitted=bool(verdict.over) and verdict.sound and tolerance >= TOLERANCE,
        frozen=all(r.state == "frozen" for r in sample.records if r.kind == "parameter"),
    )


def _measured(loss: torch.Tensor, seen: Observation) -> Sample:
    """The sample of an observed loss.

    Raises:
        FpnProbeError: With everything that stands in its way.
    """
    obstacles = list(dict.fromkeys(seen.witness.problems or ()))
    try:
        sample = Probe("full").measure(
            loss, seen.partition, seen.taps(), StepContext(auxiliary=seen.auxiliary)
        )
        if not sample.finite:
            obstacles.append("a gradient is not finite")
    except FpnProbeError as error:
        obstacles.append(str(error))
    if obstacles:
        raise FpnProbeError("; also: ".join(obstacles))
    return sample


def _classes(model: Any) -> int:
    """Object classes of a model config: its largest `num_classes`, without those of stuff."""
    if isinstance(model, dict):
        things = model.get("num_things_classes")
        if isinstance(things, int):
            return things
        own = model.get("num_classes")
        inner = [_classes(value) for key, value in model.items() if key not in OTHER_CLASSES]
        return max([own if isinstance(own, int) else 1, *inner])
    return max(map(_classes, model), default=1) if isinstance(model, (list, tuple)) else 1


def _stuff_class(model: Any) -> int:
    """A class of the semantic map that this detector takes for stuff."""
    head = model.get("panoptic_head") or {}
    return int(head.get("num_things_classes", 1))


def as_problem(error: Exception, what: str) -> FpnProbeError:
    """An error of a third-party package as one line: exit code 3 if something is not installed."""
    if isinstance(error, FpnProbeError):
        return error
    line = " ".join(str(error).split())[:200]
    text = f"{what}: {type(error).__name__}: {line}" if line else f"{what}: {type(error).__name__}"
    missing = isinstance(error, ImportError) or any(word in line for word in _ENVIRONMENT)
    return EnvironmentProblem(text) if missing else FpnProbeError(text)


def _wake_branches(detector: nn.Module) -> None:
    for module in detector.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and isinstance(weight, nn.Parameter):
            with torch.no_grad():
                if not bool(weight.any()):
                    weight.fill_(_DEAD_BRANCH)
