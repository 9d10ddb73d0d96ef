"""Decides which steps of a run under mmengine are measured, and hands their samples on."""

from collections.abc import Callable, Sequence
from typing import Any

from fpnprobe.ledger import GradientRecord, LedgerWriter
from fpnprobe.mm.hook.scalars import scalars
from fpnprobe.mm.hook.statistics import Account, circumstances
from fpnprobe.probing.sample import Sample
from fpnprobe.scales import ScaleBucket


class RunPolicy:
    """The `SamplingPolicy` of one run.

    Args:
        runner: The run.
        account: Decides which iterations are due, and counts the samples.
        audit: Every how many samples the undivided gradient audits the sum of the buckets.
        buckets: Scale buckets.
        writer: Writes the ledger; None in all processes but the first.
        warn: Is given sentences for the log.
        report_progress: Is given the number of iterations after each sample.
    """

    def __init__(
        self,
        runner: Any,
        account: Account,
        *,
        audit: int,
        buckets: tuple[ScaleBucket, ...],
        writer: LedgerWriter | None,
        warn: Callable[[str], object],
        report_progress: Callable[[int], object],
    ) -> None:
        self._runner, self._account, self._audit = runner, account, audit
        self._buckets, self._writer = buckets, writer
        self._warn, self._report_progress = warn, report_progress

    def begin_step(self) -> bool:
        """Ask the account; the first step also tells it what the gradients mean in this run."""
        self._account.facts = self._account.facts or circumstances(self._runner)
        return self._account.due(self._runner.iter)

    def is_audited(self) -> bool:
        """Tell whether the coming sample is one of those that are audited."""
        return self._account.samples % self._audit == 0

    def position(self) -> tuple[int, int]:
        """Iteration and epoch of the run."""
        return self._runner.iter, self._runner.epoch

    def take_sample(self, sample: Sample) -> None:
        """Write a sample, show its scalars, count it."""
        if self._writer is not None:
            self._writer.append(sample.records, sample.conflicts)
            values = scalars(sample, self._buckets, cost=self._account.fraction)
            self._runner.visualizer.add_scalars(values, step=self._runner.iter + 1)
        self._account.add(sample)
        self._report_progress(self._runner.iter + 1)

    def take_norms(self, records: Sequence[GradientRecord], seconds: float) -> None:
        """Write and count the stage norms of several steps."""
        self._account.add_norms(len({record.iteration for record in records}), seconds=seconds)
        if self._writer is not None:
            self._writer.append(records)

    def warn(self, sentence: str) -> None:
        """Log a sentence."""
        self._warn(sentence)
