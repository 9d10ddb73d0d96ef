"""Append to a ledger while a run goes on; a crash loses no probed iteration."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import files, parts
from fpnprobe.ledger.columns import COLUMNS, CONFLICT_COLUMNS
from fpnprobe.ledger.table import ConflictRecord, GradientRecord, table

_GATHERED = 100  # parts that become one: a folder of many parts reads slowly
_TABLES = {"ledger": COLUMNS, "conflict": CONFLICT_COLUMNS}


class LedgerWriter:
    """Writes the ledger of one cell into a folder, part by part.

    Args:
        directory: Folder of the cell; created where missing.
        study: Name of the study, a column of every row.
        variant: Name of the variant, a column of every row.
        seed: Seed of the cell, a column of every row.
        resume_at: Keep the rows of earlier iterations and drop those at or after this one; 0
            starts afresh.
        resume_rows: Rows of each table (`ledger`, `conflict`) that were there when the checkpoint
            was made; fewer are an error.

    Raises:
        FpnProbeError: If the folder cannot be written, or rows were lost.

    >>> import tempfile
    >>> from fpnprobe.ledger import Ledger
    >>> row = GradientRecord(iteration=7, epoch=0, tap="C2", level=2, kind="activation",
    ...                      route="total", bucket="small", term="all", l2=3.0, share=1.0,
    ...                      n_objects=4, n_rows=9)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with LedgerWriter(folder, study="demo", variant="FPN", seed=0) as writer:
    ...         writer.append([row])
    ...     print(Ledger.read(folder))
    Ledger(1 records, 0 conflicts, variants: FPN, iterations: 7..7)
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        study: str = "",
        variant: str = "",
        seed: int = 0,
        resume_at: int = 0,
        resume_rows: Mapping[str, int] | None = None,
    ) -> None:
        self._directory = Path(directory)
        self._cell = {"study": study, "variant": variant, "seed": seed}
        self._closed = False
        self._next = max(parts.next_append(self._directory, name) for name in _TABLES)
        self._rows: dict[str, int] = {}
        for name, expected in (resume_rows or {}).items():
            if name in _TABLES:  # before anything is written: a file that is put back counts
                self._refuse_lost_rows(name, expected, resume_at)
        for name, columns in _TABLES.items():
            parts.sweep(self._directory, name)
            self._rows[name] = parts.merge(
                self._directory, name, columns, before=resume_at, appends=self._next
            )

    def _refuse_lost_rows(self, name: str, expected: int, resume_at: int) -> None:
        rows = parts.count_rows(self._directory, name, before=resume_at)
        if rows >= expected:
            return
        # An append without conflicts writes no part of them: what lacks there is no gap.
        gap = parts.first_gap(self._directory, name) if name == "ledger" else ""
        where = f": {gap} is missing" if gap else f", {name}.parts included"
        raise FpnProbeError(
            f"{self._directory / name}.parquet has lost rows: {rows} of {expected} are there up to "
            f"iteration {resume_at}{where}; put the file back from a copy, or begin again "
            "(run-study --fresh)"
        )

    @property
    def rows(self) -> Mapping[str, int]:
        """Rows of each table so far, which a checkpoint keeps as `resume_rows`."""
        return dict(self._rows)

    def append(
        self,
        rows: Iterable[GradientRecord | Mapping[str, Any]],
        conflicts: Iterable[ConflictRecord | Mapping[str, Any]] = (),
    ) -> None:
        """Write the records of one probed iteration, or of several; they are on disk after it."""
        if self._closed:
            raise FpnProbeError(f"the ledger of {self._directory} is closed; open a new writer")
        for name, records in (("conflict", conflicts), ("ledger", rows)):
            frame = table(records, self._cell, _TABLES[name])
            if len(frame):
                folder = parts.part_folder(self._directory, name)
                file = folder / parts.part_name(self._next, self._next)
                files.write_file(file, frame, _TABLES[name])
                self._rows[name] += len(frame)
        self._next += 1
        for size in (_GATHERED, _GATHERED**2):  # each row is written three times, and once at last
            if self._next % size == 0:
                self._gather_parts(self._next - size)

    def flush(self) -> None:
        """Merge the parts into `ledger.parquet` and `conflict.parquet`."""
        for name, columns in _TABLES.items():
            parts.merge(self._directory, name, columns, appends=self._next)

    def close(self) -> None:
        """Merge and take no more rows; closing twice is harmless."""
        if not self._closed:
            self.flush()
            self._closed = True

    def _gather_parts(self, first: int) -> None:
        for name, columns in _TABLES.items():
            parts.gather(self._directory, name, columns, first=first, last=self._next - 1)

    def __enter__(self) -> "LedgerWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
