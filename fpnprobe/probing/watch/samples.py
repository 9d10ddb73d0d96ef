"""Keeps the samples of a watched training: in memory, or in a ledger and a run file."""

from pathlib import Path
from typing import Any

from fpnprobe.ledger import ConflictRecord, GradientRecord, Ledger, LedgerWriter
from fpnprobe.probing.sample import Sample
from fpnprobe.store.run_file import RunFile


class WatchedSamples:
    """Keeps the samples of one training.

    Args:
        out_dir: Folder of the written ledger; without it, all samples stay in memory.
        writer: Writes it; None in processes that leave that to the first one.
        run: The run file beside it.

    Attributes:
        recent: All samples in order; with an `out_dir` only the last one.
    """

    def __init__(
        self,
        *,
        out_dir: Path | None = None,
        writer: LedgerWriter | None = None,
        run: RunFile | None = None,
    ) -> None:
        self._out_dir, self._writer, self._run = out_dir, writer, run
        self.recent: list[Sample] = []

    def add(self, sample: Sample) -> None:
        """Take a sample."""
        if self._out_dir is None:
            self.recent.append(sample)
            return
        self.recent = [sample]
        if self._writer is not None:  # in one process of several
            self._writer.append(sample.records, sample.conflicts)

    def update_run(self, iteration: int, probe: dict[str, Any], **changes: str) -> None:
        """Tell the run file how far the training is and what the probe says of itself."""
        if self._run is not None:
            self._run.update(iteration=iteration, probe=probe, **changes)

    @property
    def ledger(self) -> Ledger:
        """The records so far."""
        if self._out_dir is not None:
            return Ledger.read(self._out_dir)
        records: list[GradientRecord] = [r for sample in self.recent for r in sample.records]
        conflicts: list[ConflictRecord] = [c for sample in self.recent for c in sample.conflicts]
        return Ledger.of(records, conflicts)
