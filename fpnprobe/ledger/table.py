"""The table and its columns: parquet on disk, a `DataFrame` in memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import files, parts
from fpnprobe.ledger.columns import COLUMNS, CONFLICT_COLUMNS, CONFLICT_KEY, KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientRecord:
    """One row of the ledger, without the cell's study, variant and seed; see `COLUMNS`."""

    iteration: int
    epoch: int
    tap: str
    level: int
    kind: str
    route: str
    bucket: str
    term: str
    l2: float
    share: float
    n_objects: int
    n_rows: int
    state: str = "measured"
    residual_loss: float = float("nan")
    residual_gradient: float = float("nan")
    residual_routes: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictRecord:
    """One row of the conflict table; see `CONFLICT_COLUMNS`."""

    iteration: int
    tap: str
    kind: str
    bucket_a: str
    bucket_b: str
    cosine: float


@dataclass(frozen=True, slots=True, repr=False)
class Ledger:
    """Gradient records (`frame`) and the cosines between buckets (`conflict`).

    Attributes:
        frame: The columns of `COLUMNS`, one row for each record.
        conflict: The columns of `CONFLICT_COLUMNS`; empty unless the mode was `full`.

    >>> row = GradientRecord(iteration=0, epoch=0, tap="C2", level=2, kind="activation",
    ...                      route="total", bucket="small", term="all", l2=3.0, share=1.0,
    ...                      n_objects=4, n_rows=9)
    >>> ledger = Ledger.of([row], variant="FPN")
    >>> ledger
    Ledger(1 records, 0 conflicts, variants: FPN, iterations: 0..0)
    >>> float(ledger.frame.query("bucket == 'small'").l2.iloc[0])
    3.0
    """

    frame: pd.DataFrame
    conflict: pd.DataFrame

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", conform(self.frame, COLUMNS))
        object.__setattr__(self, "conflict", conform(self.conflict, CONFLICT_COLUMNS))

    @classmethod
    def of(
        cls,
        records: Iterable[GradientRecord],
        conflicts: Iterable[ConflictRecord] = (),
        *,
        study: str = "",
        variant: str = "",
        seed: int = 0,
    ) -> "Ledger":
        """Build a ledger from the records of one cell."""
        cell = {"study": study, "variant": variant, "seed": seed}
        return cls(table(records, cell, COLUMNS), table(conflicts, cell, CONFLICT_COLUMNS))

    @classmethod
    def concat(cls, ledgers: Sequence["Ledger"]) -> "Ledger":
        """Put the ledgers of several cells into one."""
        if not ledgers:
            return cls.of([])
        return cls(
            pd.concat([ledger.frame for ledger in ledgers], ignore_index=True),
            pd.concat([ledger.conflict for ledger in ledgers], ignore_index=True),
        )

    @classmethod
    def read(cls, path: str | Path) -> "Ledger":
        """Read a folder with `ledger.parquet` (whole, or left by a crash), or one parquet file.

        Raises:
            FpnProbeError: If there is no ledger, it cannot be read, or a column is missing.
        """
        path = Path(path)
        if path.is_dir():
            frame = parts.read(path, "ledger")
            conflict = parts.read(path, "conflict")
        else:
            frame, conflict = files.read_file(path), None
        if frame is None:
            raise FpnProbeError(
                f"no ledger in {path}: expected ledger.parquet; was the probe on in this run?"
            )
        if conflict is None:
            conflict = table([], {}, CONFLICT_COLUMNS)
        return cls(
            frame.drop_duplicates(list(KEY), ignore_index=True) if set(KEY) <= {*frame} else frame,
            conflict.drop_duplicates(list(CONFLICT_KEY), ignore_index=True)
            if set(CONFLICT_KEY) <= {*conflict}
            else conflict,
        )

    def write(self, directory: str | Path) -> None:
        """Write `ledger.parquet` and `conflict.parquet` into `directory`, each atomically."""
        files.write_file(Path(directory) / "ledger.parquet", self.frame, COLUMNS)
        files.write_file(Path(directory) / "conflict.parquet", self.conflict, CONFLICT_COLUMNS)

    def to_pandas(self) -> pd.DataFrame:
        """Return a copy of the records."""
        return self.frame.copy()

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        variants = ", ".join(dict.fromkeys(self.frame["variant"])) or "none"
        steps = self.frame["iteration"]
        span = f"{steps.min()}..{steps.max()}" if len(steps) else "none"
        return (
            f"Ledger({len(self.frame)} records, {len(self.conflict)} conflicts, "
            f"variants: {variants}, iterations: {span})"
        )

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(max_rows=20))


def table(
    records: Iterable[GradientRecord | ConflictRecord | Mapping[str, Any]],
    cell: Mapping[str, Any],
    columns: Mapping[str, tuple[str, str]],
) -> pd.DataFrame:
    """Records of one cell as a DataFrame with the given columns and types."""
    rows = [{**cell, **(r if isinstance(r, Mapping) else asdict(r))} for r in records]
    return conform(pd.DataFrame(rows, columns=None if rows else list(columns)), columns)


def conform(frame: pd.DataFrame, columns: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Return the columns in order and with their types.

    Raises:
        FpnProbeError: If a column is missing or its values have another type.
    """
    missing = [name for name in columns if name not in frame]
    if missing:
        raise FpnProbeError(
            f"not a ledger: column {missing[0]!r} is missing; expected {', '.join(columns)}"
        )
    try:
        return frame[list(columns)].astype(
            {n: object if t == "string" else np.dtype(t) for n, (t, _) in columns.items()}
        )
    except (TypeError, ValueError) as error:
        raise FpnProbeError(f"not a ledger: {error}") from error
