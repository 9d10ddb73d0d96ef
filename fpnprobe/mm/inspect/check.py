"""Do the invariants hold on this model? One batch, generated or given, through any mmdet config."""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm import quiet
from fpnprobe.mm.adapters import observe
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.detectors.stock import read_config, stock_model
from fpnprobe.mm.hook.second_look import SecondLook
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.mm.inspect.open_detector import open_config
from fpnprobe.probing import Probe, Residuals
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket

TOLERANCE = 1e-5
_NAMES = ("loss", "parameter", "activation", "routes")
_DEAD_BRANCH = 0.3  # a branch whose last norm starts at zero would hide its gradients


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Residuals of one model.

    Attributes:
        config: Name of the config.
        residuals: Relative residuals of loss, parameter, activation and routes.
        tolerance: What none of them may exceed.
        terms: Loss terms that were found.
        passes: Extra backward passes made.
        sentence: What is likely missing, or why a residual beyond the tolerance is none.
        acquitted: Whether what is beyond the tolerance was seen to be rounding, or is the value
            of a loss that is no sum over its rows while its gradient is whole.
        frozen: Whether no backbone stage trains, so that there is no gradient to add up there.
    """

    config: str
    residuals: Residuals
    tolerance: float
    terms: tuple[str, ...]
    passes: int
    sentence: str = ""
    acquitted: bool = False
    frozen: bool = False

    @property
    def ok(self) -> bool:
        """Whether every residual was measured and is within the tolerance, or acquitted of it."""
        return all(self._holds(name) for name in _NAMES)

    def _holds(self, name: str) -> bool:
        value = getattr(self.residuals, name)
        if math.isnan(value):
            return self.frozen and name != "loss"
        return bool(value <= self.tolerance) or self.acquitted

    def to_dict(self) -> dict[str, Any]:
        """Return `{config, residuals: {loss, parameter, ...}, tolerance, ok}`, and a `note`."""
        return {
            "config": self.config,
            "residuals": {name: _or_none(getattr(self.residuals, name)) for name in _NAMES},
            "tolerance": self.tolerance,
            "ok": self.ok,
            **({"note": self.sentence} if self.sentence else {}),
        }


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
        FpnProbeError: if the config cannot be read or built, or a head is not known.
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
    classes = _classes(read_config(config).get("model"))
    model = stock_model(config, num_classes=classes, weights=None)
    with quiet.construction():
        detector = build_detector(model, seed=seed)
    return check_model(
        detector, name=config, classes=classes, size=size, tolerance=tolerance, buckets=buckets
    )


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
        data = detector.data_preprocessor(batch, training=True)
        torch.manual_seed(seed)
        look = SecondLook(Probe("full"), tuple(buckets))
        with look.remembered(detector), observe(detector, buckets) as seen:
            losses = detector(**data, mode="loss")
        loss, _ = detector.parse_losses(losses)
        sample = Probe("full").measure(loss, seen.partition, seen.taps(), auxiliary=seen.auxiliary)
        if not sample.finite:
            raise FpnProbeError(f"{name or type(detector).__name__}: a gradient is not finite")
        given = sample.judged(sample.residuals.judge("float32", tolerance=tolerance))
        verdict = look.review(detector, given).verdict
    terms = tuple(call.term for call in seen.partition.calls)
    stages = [r.state for r in sample.records if r.kind == "parameter"]
    return CheckResult(
        name,
        sample.residuals,
        tolerance,
        tuple(dict.fromkeys(terms)),
        sample.passes,
        sentence=verdict.sentence,
        # A tolerance that asks for more than float32 gives is not met by saying so.
        acquitted=bool(verdict.over) and verdict.sound and tolerance >= TOLERANCE,
        frozen=bool(stages) and set(stages) == {"frozen"},
    )


def problem(results: Sequence[CheckResult]) -> str | None:
    """One line about the first result beyond its tolerance, or None."""
    for result in results:
        if not result.ok:
            worst = max(_NAMES, key=lambda n: _rank(getattr(result.residuals, n)))
            return (
                f"{result.config}: the {worst} residual is {getattr(result.residuals, worst):.1e}, "
                f"expected at most {result.tolerance:.0e}"
                + (f": {result.sentence}" if result.sentence else "")
            )
    return None


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _rank(value: float) -> float:
    return float("inf") if math.isnan(value) else value


def table(results: Sequence[CheckResult], *, markdown: bool = False) -> str:
    """Return the residual table as aligned text, or as Markdown."""
    rows = [["config", *_NAMES, "ok"]]
    for result in results:
        values = (getattr(result.residuals, name) for name in _NAMES)
        name = result.config.rpartition("/")[2].removesuffix(".py")
        rows.append([name, *(f"{v:.1e}" for v in values), "yes" if result.ok else "NO"])
    if markdown:
        rows.insert(1, ["---", *["---:"] * (len(_NAMES) + 1)])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def as_json(results: Sequence[CheckResult]) -> str:
    """Return one object for one config, a list for several."""
    found = [result.to_dict() for result in results]
    return json.dumps(found[0] if len(found) == 1 else found, indent=2)


def _classes(model: Any) -> int:
    """Largest `num_classes` in a model config."""
    if isinstance(model, dict):
        own = model.get("num_classes")
        return max([own if isinstance(own, int) else 1, *map(_classes, model.values())])
    return max(map(_classes, model), default=1) if isinstance(model, (list, tuple)) else 1


def _wake_branches(detector: nn.Module) -> None:
    for module in detector.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and isinstance(weight, nn.Parameter):
            with torch.no_grad():
                if not bool(weight.any()):
                    weight.fill_(_DEAD_BRANCH)
