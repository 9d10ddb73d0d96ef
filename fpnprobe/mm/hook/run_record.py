"""Writes what a training under the hook says of itself: run file, first and last line."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.evidence.diagnosis import diagnose, headline
from fpnprobe.ledger import Ledger
from fpnprobe.mm.hook.norms_observer import stage_parameters
from fpnprobe.mm.hook.run_evaluation import ValidationRecord, remove_validations
from fpnprobe.mm.hook.runner_facts import advise_thawing, describe_config, json_content
from fpnprobe.scales import ScaleBucket
from fpnprobe.store import atomic
from fpnprobe.store.run_file import RunFile, describe_run

_LOSSES = "training.parquet"
FEW = 10  # samples below which a share says little


class RunRecord:
    """Keeps `fpnprobe.json` and `evaluation.parquet` of a training under mmengine.

    A training that starts at iteration 0 removes what a former one left in the folder, as its
    ledger does.

    Args:
        runner: The run that begins.
        folder: Folder of the ledger.
        cell: Study, variant and seed.
        buckets: Scale buckets.
        probe: Mode, interval or budget, as a sentence says them.
        area: "box" where the area of an object is that of its box.
    """

    def __init__(
        self,
        runner: Any,
        folder: Path,
        cell: Mapping[str, Any],
        *,
        buckets: tuple[ScaleBucket, ...],
        probe: str,
        area: str | None = None,
    ) -> None:
        self._folder, self._cell, self._buckets = folder, dict(cell), buckets
        self._start = time.perf_counter()
        self._begun = runner.iter
        if self._begun == 0:
            remove_validations(folder)
            (folder / _LOSSES).unlink(missing_ok=True)
        parameters = stage_parameters(runner.model)
        self._frozen = [
            n for n, stage in parameters.items() if not any(p.requires_grad for p in stage)
        ]
        backbone = getattr(runner.model, "module", runner.model).backbone
        self._thaw = advise_thawing(backbone, self._frozen)
        loader = runner.train_loop.dataloader
        self._file = RunFile(
            folder,
            describe_run(
                made_by="GradientProbeHook",
                config=describe_config(runner),
                buckets=buckets,
                iterations=runner.max_iters,
                stages={name: {"frozen": name in self._frozen} for name in parameters},
                device=str(next(runner.model.parameters()).device.type),
                images=[len(loader.dataset), None],
                batch=loader.batch_sampler.batch_size if loader.batch_sampler else None,
                area=area,
                classes=list((getattr(loader.dataset, "metainfo", None) or {}).get("classes", ())),
                **self._cell,
            ),
        )
        self.validations = ValidationRecord(
            folder, self._cell, buckets=buckets, area=area, file=self._file
        )
        taps = ", ".join(f"{n} (frozen)" if n in self._frozen else n for n in parameters)
        runner.logger.info(
            f"fpnprobe: {taps} and the levels of the neck; {_write_bounds(buckets)}; {probe}; "
            f"ledger in {folder}{'. ' + self._thaw if self._thaw else ''}"
        )

    def progress(self, iteration: int, summary: Mapping[str, Any]) -> None:
        """Tell how far the training is, and what the probe has to say."""
        seconds = time.perf_counter() - self._start
        steps = max(iteration - self._begun, 1)
        timings = {"train_s": round(seconds, 3), "per_iteration_s": round(seconds / steps, 6)}
        self._file.update(iteration=iteration, probe=json_content(summary), timings=timings)

    def close(self, runner: Any, summary: Mapping[str, Any], error: BaseException | None) -> None:
        """The last word in the run file, and in the log."""
        self.progress(runner.iter, summary)
        self._keep_losses(runner)
        stopped = isinstance(error, KeyboardInterrupt)
        state = "done" if error is None else "interrupted" if stopped else "failed"
        self._file.update(state=state, reason=" ".join(str(error or "").split())[:200])
        samples = int(summary["samples"])
        if samples == 0:
            runner.logger.warning(
                "fpnprobe: no sample was taken: the training was shorter than the interval between "
                f"samples; {_advise_sampling(summary)}"
            )
            return
        if samples < FEW and summary["mode"] != "norms":
            runner.logger.warning(
                f"fpnprobe: {samples} {'sample' if samples == 1 else 'samples'} only: shares of so "
                f"few batches say little; train longer, or {_advise_sampling(summary)}"
            )
        runner.logger.info(f"fpnprobe: {closing(summary)}; fpnprobe report {self._folder}")
        if summary["mode"] != "norms":
            ledger = Ledger.read(self._folder)
            names = [bucket.name for bucket in self._buckets]
            findings = diagnose({self._cell["variant"]: [ledger]}, buckets=names)
            runner.logger.info(f"fpnprobe: {headline(findings)}")

    def _keep_losses(self, runner: Any) -> None:
        """Write the losses and rates that mmengine's message hub holds, one value an iteration."""
        tables = []
        for key, buffer in runner.message_hub.log_scalars.items():
            name = key.removeprefix("train/")
            if name == key or not ("loss" in name or name == "lr"):
                continue
            values, counts = buffer.data
            if len(values):
                steps = range(runner.iter - len(values), runner.iter)
                means = [v / max(c, 1) for v, c in zip(values, counts, strict=True)]
                tables.append(pd.DataFrame({"iteration": steps, "name": name, "value": means}))
        if tables:
            table = pd.concat(tables, ignore_index=True)
            table = table[table["iteration"] >= 0]
            atomic.write(self._folder / _LOSSES, lambda file: table.to_parquet(file, index=False))


@contextmanager
def training_recorded(
    runner: Any,
    folder: Path,
    cell: Mapping[str, Any],
    *,
    buckets: tuple[ScaleBucket, ...],
    probe: str,
    area: str | None,
    summary: Callable[[], Mapping[str, Any]],
) -> Iterator[RunRecord]:
    """Record the training inside, however it ends; see `RunRecord`.

    Args:
        runner: The run that begins.
        folder: Folder of the ledger.
        cell: Study, variant and seed.
        buckets: Scale buckets.
        probe: Mode, interval or budget, as a sentence says them.
        area: "box" where the area of an object is that of its box.
        summary: Returns what the probe has to say at the end.
    """
    record = RunRecord(runner, folder, cell, buckets=buckets, probe=probe, area=area)
    error: BaseException | None = None
    try:
        yield record
    except BaseException as raised:
        error = raised
        raise
    finally:
        record.close(runner, summary(), error)


def closing(summary: Mapping[str, Any]) -> str:
    """Samples, cost and the worst residual of a run in a line."""
    residuals = [v for v in summary["residuals"].values() if isinstance(v, float)]
    worst = f", worst residual {max(residuals):.1e} in {summary['arithmetic']}" if residuals else ""
    cost = summary.get("cost")
    spent = f", cost {100 * cost:.1f} % of training" if isinstance(cost, float) else ""
    bad = "".join(
        f", {summary[name]} {name}" for name in ("unsound", "nonfinite", "underflow")
        if summary[name]
    )  # fmt: skip
    samples = summary["samples"]
    return f"{samples} {'sample' if samples == 1 else 'samples'}{spent}{worst}{bad}"


def _write_bounds(buckets: tuple[ScaleBucket, ...]) -> str:
    """The buckets by the side of a square of their area.

    >>> from fpnprobe.scales import COCO_BUCKETS
    >>> _write_bounds(COCO_BUCKETS)
    'small < 32 px <= medium < 96 px <= large'
    """
    phrases = [buckets[0].name]
    for before, bucket in itertools.pairwise(buckets):
        phrases.append(f"< {math.sqrt(before.high):g} px <= {bucket.name}")
    return " ".join(phrases)


def _advise_sampling(summary: Mapping[str, Any]) -> str:
    """How to sample more often than so far; under a budget the interval follows from it.

    >>> _advise_sampling({"budget": None, "interval": 50})
    'sample more often: interval=10 (`fpnprobe train`: --interval 10)'
    >>> _advise_sampling({"budget": 0.02, "interval": 900})
    'sample more often: budget=0.2 (`fpnprobe train`: --budget 0.2)'
    """
    budget, interval = summary.get("budget"), summary.get("interval")
    if budget is not None:
        larger = f"{min(10 * budget, 0.5):g}"
        return f"sample more often: budget={larger} (`fpnprobe train`: --budget {larger})"
    smaller = max(1, int(interval or 1) // 5)
    return f"sample more often: interval={smaller} (`fpnprobe train`: --interval {smaller})"
