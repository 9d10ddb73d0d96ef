"""Parquet tables of a run folder: read with bounded memory, and with one line where damaged."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fpnprobe.errors import FpnProbeError

MOST_BYTES = 2**31  # uncompressed; a ledger of 90,000 iterations has a tenth of it
MOST_VALUES = 2**28  # rows x columns


class DamagedTable(FpnProbeError):
    """A table that cannot be read, or not as what it should be."""


def check_size(path: Path) -> None:
    """Refuse a parquet file that would need far more memory than it has bytes.

    Raises:
        DamagedTable: If it is too large, or no parquet file.
    """
    try:
        metadata = pq.read_metadata(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged files fail in many ways
        raise DamagedTable(f"cannot read {path}: {_first_line(error)}") from None
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    values = metadata.num_rows * metadata.num_columns
    if size > MOST_BYTES or values > MOST_VALUES:
        raise DamagedTable(
            f"cannot read {path}: {values:.3g} values in {size:.3g} bytes, expected at most "
            f"{MOST_VALUES:.3g} in {MOST_BYTES:.3g}"
        )


def read_parquet(path: Path, expected: Mapping[str, str] | None = None, **options: Any) -> Any:
    """Read a parquet file as a `DataFrame`.

    Args:
        path: The file.
        expected: Columns that it must have, and the kind of each: "number" or "text".
        options: Further arguments of `pandas.read_parquet`.

    Raises:
        DamagedTable: One line, if it cannot be read, is too large, or a column is missing or of
            another kind.
    """
    try:
        check_size(path)
        frame = pd.read_parquet(path, **options)
    except FileNotFoundError:
        raise DamagedTable(f"cannot read {path}: it is not there") from None
    except FpnProbeError:
        raise
    except Exception as error:  # damaged files fail in any of the ways of pyarrow and pandas
        raise DamagedTable(f"cannot read {path}: {_first_line(error)}") from None
    _check_columns(frame, expected or {}, path)
    return frame


def _check_columns(frame: pd.DataFrame, columns: Mapping[str, str], path: Path) -> None:
    for name, kind in columns.items():
        if name not in frame:
            raise DamagedTable(f"{path} has no column {name!r}; expected {_list_names([*columns])}")
        numeric = pd.api.types.is_numeric_dtype(frame[name].dtype)
        if len(frame) and numeric != (kind == "number"):
            raise DamagedTable(f"{path} has no {kind} in the column {name!r}")


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(names)


def _first_line(error: Exception) -> str:
    if isinstance(error, pa.ArrowException | OSError | ValueError):
        return f"{next(iter(str(error).splitlines()), type(error).__name__):.200}"
    return type(error).__name__
