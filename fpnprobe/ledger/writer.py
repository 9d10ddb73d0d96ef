"""Append to a ledger while a run goes on; a crash loses no probed iteration."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import files
from fpnprobe.ledger.columns import COLUMNS, CONFLICT_COLUMNS
from fpnprobe.ledger.table import ConflictRecord, GradientRecord, Ledger, table

_PARTS_BEFORE_MERGE = 100  # one merge rewrites the whole file; a folder of many parts reads slowly


class LedgerWriter:
    """Writes the ledger of one cell into a folder, part by part.

    Args:
        directory: Folder of the cell; created where missing.
        study: Name of the study, a column of every row.
        variant: Name of the variant, a column of every row.
        seed: Seed of the cell, a column of every row.
        resume_at: Keep the rows of earlier iterations and drop those at or after this one; 0
            starts afresh.

    >>> import tempfile
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
    ) -> None:
        self._directory = Path(directory)
        self._cell = {"study": study, "variant": variant, "seed": seed}
        self._closed = False
        self._next = 0
        kept = Ledger.of([])
        if resume_at > 0 and files.read(self._directory, "ledger") is not None:
            old = Ledger.read(self._directory)
            kept = Ledger(
                old.frame[old.frame.iteration < resume_at],
                old.conflict[old.conflict.iteration < resume_at],
            )
        kept.write(self._directory)
        for name in ("ledger", "conflict"):
            files.remove_parts(self._directory, name)

    def append(
        self,
        rows: Iterable[GradientRecord | Mapping[str, Any]],
        conflicts: Iterable[ConflictRecord | Mapping[str, Any]] = (),
    ) -> None:
        """Write the records of one probed iteration, or of several; they are on disk after it."""
        if self._closed:
            raise FpnProbeError(f"the ledger of {self._directory} is closed; open a new writer")
        for name, records, columns in (
            ("conflict", conflicts, CONFLICT_COLUMNS),
            ("ledger", rows, COLUMNS),
        ):
            frame = table(records, self._cell, columns)
            if len(frame):
                folder = files.part_folder(self._directory, name)
                files.write_file(folder / f"{self._next:08d}.parquet", frame, columns)
        self._next += 1
        if self._next % _PARTS_BEFORE_MERGE == 0:
            self.flush()

    def flush(self) -> None:
        """Merge the parts into `ledger.parquet` and `conflict.parquet`."""
        # A crash between the two steps leaves rows twice on disk; reading drops the copies.
        Ledger.read(self._directory).write(self._directory)
        for name in ("ledger", "conflict"):
            files.remove_parts(self._directory, name)

    def close(self) -> None:
        """Merge and take no more rows; closing twice is harmless."""
        if not self._closed:
            self.flush()
            self._closed = True

    def __enter__(self) -> "LedgerWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
