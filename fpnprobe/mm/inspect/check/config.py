"""Checks an mmdet config: builds it with random weights, and finds a batch that it takes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm import quiet
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.detectors.stock import (
    OTHER_CLASSES,
    for_every_part,
    read_config,
    stock_model,
)
from fpnprobe.mm.inspect.check.batch import (
    BatchNeeds,
    pad_no_further,
    without_synchronization,
)
from fpnprobe.mm.inspect.check.model import TOLERANCE, check_model
from fpnprobe.mm.inspect.check.result import CheckResult
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.mm.inspect.open_detector import open_config
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket

_TOO_SMALL = ("out of range", "greater than actual input size", "ill-defined empirical covariance")
_ENVIRONMENT = ("install", "connect", "offline mode")


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
        samples = [opened.images[i] for i in range(min(2, len(opened.images)))]
        batch = {key: [sample[key] for sample in samples] for key in ("inputs", "data_samples")}
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
    classes = _count_classes(loaded.get("model"))
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


def _count_classes(model: Any) -> int:
    """Object classes of a model config: its largest `num_classes`, without those of stuff."""
    if isinstance(model, dict):
        thing_classes = model.get("num_things_classes")
        if isinstance(thing_classes, int):
            return thing_classes
        own_classes = model.get("num_classes")
        inner = [_count_classes(value) for key, value in model.items() if key not in OTHER_CLASSES]
        return max([own_classes if isinstance(own_classes, int) else 1, *inner])
    return max(map(_count_classes, model), default=1) if isinstance(model, (list, tuple)) else 1


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
