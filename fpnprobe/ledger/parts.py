"""A table that grows: small parquet parts, gathered into larger ones, merged when closed.

A part is written atomically, so a crash loses at most the append that was running. Its name holds
the first and last append that it has; a part whose appends all lie in a larger one, or in the whole
file, is a remainder of a crash and is not read. While it grows, other programs read the table as
`ledger.parquet` together with `ledger.parts/*.parquet`, all of one schema.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger.files import (
    Columns,
    conform,
    read_table,
    schema_of,
    to_frame,
    write_tables,
)

_APPENDS = b"fpnprobe.appends"  # number of appends that a whole file holds


_TRIES = 20


def part_folder(directory: Path, name: str) -> Path:
    """Folder of the parts that are not merged yet."""
    return directory / f"{name}.parts"


def part_name(first: int, last: int) -> str:
    """Name of the part that holds these appends.

    >>> part_name(0, 99)
    '00000000-00000099.parquet'
    """
    return f"{first:08d}-{last:08d}.parquet"


def parts(directory: Path, name: str) -> list[tuple[Path, int, int]]:
    """Part files with their first and last append, in order, without what a crash left over."""
    current, end = [], _count_appends(directory / f"{name}.parquet") - 1
    for file_and_appends in sorted(
        _all_parts(directory, name),
        key=lambda file_and_appends: (file_and_appends[1], -file_and_appends[2]),
    ):
        if file_and_appends[2] > end:
            current.append(file_and_appends)
            end = file_and_appends[2]
    return current


def next_append(directory: Path, name: str) -> int:
    """Number of the append that comes next."""
    ends = [last + 1 for _, _, last in _all_parts(directory, name)]
    return max([_count_appends(directory / f"{name}.parquet"), *ends])


def read(directory: Path, name: str) -> pd.DataFrame | None:
    """Read `<name>.parquet` and the parts beside it, or None where neither exists."""
    for _ in range(_TRIES):
        try:
            frames = [to_frame(table, directory / name) for table in _read_tables(directory, name)]
            break
        except FileNotFoundError:  # its writer has just merged the parts
            continue
    else:
        raise FpnProbeError(f"{part_folder(directory, name)} changes while it is read: try again")
    if not frames:
        return None
    filled: list[pd.DataFrame] = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def gather(directory: Path, name: str, columns: Columns, *, first: int, last: int) -> None:
    """Replace the parts of these appends by one."""
    inside = [
        file_and_appends
        for file_and_appends in parts(directory, name)
        if first <= file_and_appends[1] and file_and_appends[2] <= last
    ]
    if len(inside) < 2:
        return
    schema = schema_of(columns)
    tables = (read_table(file).cast(schema) for file, _, _ in inside)
    whole = pa.concat_tables(tables).combine_chunks()
    folder = part_folder(directory, name)
    target = folder / part_name(inside[0][1], inside[-1][2])
    write_tables(target, iter([whole]), schema)
    for file, _, _ in inside:
        if file != target:
            file.unlink()


def count_rows(directory: Path, name: str, *, before: int) -> int:
    """Count the rows of earlier iterations, in the whole file and its parts."""
    return sum(
        int(pc.sum(pc.less(table["iteration"], before)).as_py() or 0)
        for table in _read_tables(directory, name)
    )


def first_gap(directory: Path, name: str) -> str:
    """Name of the first part that is missing between others; "" if none is.

    The table must have rows in each append, as the ledger has: another one has no part of the
    appends that brought it nothing. What comes after the last part is not known, and is no gap.
    """
    end = _count_appends(directory / f"{name}.parquet") - 1
    for _, first, last in parts(directory, name):
        if first > end + 1:
            return f"{name}.parts/{part_name(end + 1, first - 1)}"
        end = last
    return ""


def merge(
    directory: Path, name: str, columns: Columns, *, appends: int, before: int | None = None
) -> int:
    """Write everything into `<name>.parquet`, one part in memory at a time; return its rows.

    Args:
        directory: Folder of the table.
        name: Name of the table.
        columns: Its columns.
        appends: Number of appends that the file holds afterwards.
        before: Keep only the rows of earlier iterations; None for all.

    Raises:
        FpnProbeError: If a file is damaged or of other columns.
    """
    schema = schema_of(columns)
    rows = 0

    def kept() -> Iterator[pa.Table]:
        nonlocal rows
        for table in _read_tables(directory, name) if before != 0 else ():
            table = conform(table, schema, directory / name)
            if before is not None:
                table = table.filter(pc.less(table["iteration"], before))
            rows += len(table)
            yield table

    marked = schema.with_metadata({**schema.metadata, _APPENDS: str(appends).encode()})
    write_tables(directory / f"{name}.parquet", kept(), marked)
    _remove_parts(directory, name)
    return rows


def sweep(directory: Path, name: str) -> None:
    """Remove the temporary files that a killed writer of this table left."""
    for folder, pattern in (
        (directory, f".{name}.parquet.*"),
        (part_folder(directory, name), ".*"),
    ):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)


def _read_tables(directory: Path, name: str) -> Iterator[pa.Table]:
    whole = directory / f"{name}.parquet"
    if whole.exists():
        yield read_table(whole)
    for file, _, _ in parts(directory, name):
        yield read_table(file)


def _all_parts(directory: Path, name: str) -> list[tuple[Path, int, int]]:
    part_files = []
    for file in part_folder(directory, name).glob("*.parquet"):
        numbers = file.stem.split("-")
        if len(numbers) <= 2 and all(number.isdecimal() for number in numbers):
            part_files.append((file, int(numbers[0]), int(numbers[-1])))
    return part_files


def _count_appends(whole: Path) -> int:
    try:
        metadata = pq.read_schema(whole).metadata or {}
        return int(metadata.get(_APPENDS, b"0"))
    except (OSError, ValueError, pa.ArrowException):
        return 0


def _remove_parts(directory: Path, name: str) -> None:
    folder = part_folder(directory, name)
    for file in folder.glob("*.parquet"):
        file.unlink()
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
