"""Mode `offline`: the same images through a detector, measured alike every time.

On a CPU that is bit for bit; on CUDA some operators add in no fixed order. All products are whole
float32 ones.

The detector is in evaluation mode (statistics of batch normalization as stored, no dropout) with
its training loss; every batch has random states of its own, and the caller's are put back.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fpnprobe.ledger import Ledger, LedgerWriter
from fpnprobe.mm.adapters import observe
from fpnprobe.mm.hook.statistics import Account
from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.sample import Sample
from fpnprobe.probing.sampling.schedule import Schedule
from fpnprobe.probing.soundness.arithmetic import whole_float32
from fpnprobe.probing.step_context import StepContext
from fpnprobe.scales import BACKGROUND, COCO_BUCKETS, ScaleBucket
from fpnprobe.statistics import gradient_shares

_SHOWN = ("measured", "would_arrive", "absent")


@dataclass(frozen=True, slots=True)
class OfflineResult:
    """The result of an offline measurement.

    Attributes:
        ledger: Its records; `iteration` is the number of the batch.
        summary: Mode, samples, residuals, images and seconds, as JSON.
    """

    ledger: Ledger
    summary: dict[str, Any]

    def shares(self) -> pd.DataFrame:
        """Share of each bucket by tap, kind and route, over all batches."""
        rows = gradient_shares(self.ledger.frame)
        rows = rows[(rows.bucket != BACKGROUND) & rows.state.isin(_SHOWN)]
        order = list(dict.fromkeys(rows.bucket))
        wide = rows.pivot_table("share", ["tap", "kind", "route"], "bucket", sort=False)
        return wide.reindex(columns=order).round(3).reset_index().rename_axis(columns=None)

    def line(self) -> str:
        """One line about images, residuals and time."""
        worst = ", ".join(
            f"{k} {v:.1e}" for k, v in self.summary["residuals"].items() if v is not None
        )
        return (
            f"{self.summary['images']} images in {self.summary['seconds']} s; residuals {worst}; "
            f"{self.summary['ledger']}"
        )


def probe_images(
    detector: Any,
    images: CellImages,
    out: str | Path,
    *,
    count: int = 32,
    batch: int = 2,
    probe: Probe | None = None,
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    cell: Mapping[str, Any] | None = None,
    seed: int = 0,
    each: Callable[[], None] = lambda: None,
) -> OfflineResult:
    """Measure the first `count` images, in batches, and write the ledger into `out`.

    Args:
        detector: A built detector, on its device; its mode and gradients come back as they were.
        images: In order and unchanged (`seed=None`).
        out: Folder of `ledger.parquet`.
        count: Number of images; all if there are fewer.
        batch: Images per batch.
        probe: What is measured; mode `full` by default.
        buckets: Scale buckets.
        cell: Study, variant and seed for the ledger's columns.
        seed: Of what a training loss draws, such as its sampled RoIs.
        each: Called before every batch.
    """
    account = Account("offline", schedule=Schedule(interval=1), budget=None)
    start = time.perf_counter()
    numbers = list(range(min(count, len(images))))
    batches = [numbers[i : i + batch] for i in range(0, len(numbers), batch)]
    with LedgerWriter(out, **dict(cell or {})) as writer, _evaluation_mode(detector):
        for index, batch_numbers in enumerate(batches):
            each()
            samples = [images[i] for i in batch_numbers]
            with _generators_from(seed + index):
                sample = _measure_batch(
                    detector, samples, probe or Probe("full"), buckets, iteration=index
                )
            account.add(sample)
            writer.append(sample.records, sample.conflicts)
    account_summary = account.summary()
    summary = {key: account_summary[key] for key in ("mode", "samples", "nonfinite", "residuals")}
    summary |= {"images": len(numbers), "batch": batch}
    summary["seconds"] = round(time.perf_counter() - start, 3)
    return OfflineResult(Ledger.read(out), summary)


def _measure_batch(
    detector: Any,
    samples: Sequence[Mapping[str, Any]],
    probe: Probe,
    buckets: Sequence[ScaleBucket],
    *,
    iteration: int,
) -> Sample:
    collated = {key: [sample[key] for sample in samples] for key in ("inputs", "data_samples")}
    with torch.enable_grad(), observe(detector, buckets) as observation:
        data = detector.data_preprocessor(collated, training=True)
        loss, _ = detector.parse_losses(detector(**data, mode="loss"))
        try:
            return probe.measure(
                loss,
                observation.partition,
                observation.taps(),
                StepContext(auxiliary=observation.auxiliary, iteration=iteration),
            )
        finally:
            observation.release()


@contextlib.contextmanager
def _evaluation_mode(detector: Any) -> Iterator[None]:
    modes = [(module, module.training) for module in detector.modules()]
    benchmark = torch.backends.cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    detector.eval()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        with whole_float32():
            yield
    finally:
        torch.backends.cudnn.benchmark = benchmark
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def _generators_from(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's global generators from `seed` inside, as before outside."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - mmdet draws from it
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
