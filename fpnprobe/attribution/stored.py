"""Attribution tables on disk: one per cell, and the aggregate of a study."""

import io
from pathlib import Path

import pandas as pd

from fpnprobe.attribution.table import COLUMNS, check, concat
from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic
from fpnprobe.store.tables import read_parquet

CELL_TABLE = "attribution.parquet"
STUDY_TABLE = "evidence/attribution.parquet"
TRUST_TABLE = "evidence/attribution_trust.parquet"


def write(file: str | Path, frame: pd.DataFrame) -> None:
    """Write a table atomically."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    atomic.write_bytes(file, buffer.getvalue())


def read_cell(folder: str | Path) -> pd.DataFrame:
    """The attribution of a cell; an empty table where none was made.

    Raises:
        FpnProbeError: If the file cannot be read.
    """
    file = Path(folder) / CELL_TABLE
    if not file.is_file():
        return concat([])
    try:
        return check(read_parquet(file))[list(COLUMNS)]
    except (OSError, ValueError) as error:
        raise FpnProbeError(
            f"{file} cannot be read ({type(error).__name__}): run `fpnprobe attribute` again"
        ) from None
