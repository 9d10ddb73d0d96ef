"""Parquet files of a table that grows: small parts, gathered into larger ones, merged when closed.

A part is written atomically, so a crash loses at most the append that was running. Its name holds
the first and last append that it has; a part whose appends all lie in a larger one, or in the whole
file, is a remainder of a crash and is not read. While it grows, other programs read the table as
`ledger.parquet` together with `ledger.parts/*.parquet`, all of one schema.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic
from fpnprobe.store.tables import check_size

Columns = Mapping[str, tuple[str, str]]
_APPENDS = b"fpnprobe.appends"  # number of appends that a whole file holds
_TRIES = 20


def schema_of(columns: Columns) -> pa.Schema:
    """The schema in which every column carries its definition, as does the table."""
    fields = [
        pa.field(name, pa.type_for_alias(kind), metadata={"definition": text})
        for name, (kind, text) in columns.items()
    ]
    definitions = {name: text for name, (_, text) in columns.items()}
    return pa.schema(fields, metadata={"fpnprobe": json.dumps({"columns": definitions})})


def write_file(path: Path, frame: pd.DataFrame, columns: Columns) -> None:
    """Write one parquet file; every column carries its definition in the schema's metadata."""
    schema = schema_of(columns)
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    _write_tables(path, iter([table]), schema)


def read_file(path: Path) -> pd.DataFrame:
    """Read one parquet file.

    Raises:
        FpnProbeError: if it is missing or damaged.
    """
    try:
        table = _read_table(path)
    except FileNotFoundError:
        raise FpnProbeError(f"cannot read {path}: it is not there") from None
    try:
        frame: pd.DataFrame = table.to_pandas()
    except ValueError as error:  # bytes of a damaged column that are no text
        raise FpnProbeError(
            f"cannot read {path}: {error!s:.200}; put it back from a copy, or measure again"
        ) from error
    return frame


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
    current, end = [], _appends(directory / f"{name}.parquet") - 1
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
    return max([_appends(directory / f"{name}.parquet"), *ends])


def read(directory: Path, name: str) -> pd.DataFrame | None:
    """Read `<name>.parquet` and the parts beside it, or None where neither exists."""
    for _ in range(_TRIES):
        try:
            frames = [_to_frame(table, directory / name) for table in _tables(directory, name)]
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
    tables = (_read_table(file).cast(schema) for file, _, _ in inside)
    whole = pa.concat_tables(tables).combine_chunks()
    folder = part_folder(directory, name)
    target = folder / part_name(inside[0][1], inside[-1][2])
    _write_tables(target, iter([whole]), schema)
    for file, _, _ in inside:
        if file != target:
            file.unlink()


def merge(
    directory: Path, name: str, columns: Columns, *, before: int | None = None, appends: int = 0
) -> int:
    """Write everything into `<name>.parquet`, one part in memory at a time; return its rows.

    Args:
        directory: Folder of the table.
        name: Name of the table.
        columns: Its columns.
        before: Keep only the rows of earlier iterations; None for all.
        appends: Number of appends that the file holds afterwards.

    Raises:
        FpnProbeError: if a file is damaged or of other columns.
    """
    schema = schema_of(columns)
    rows = 0

    def kept() -> Iterator[pa.Table]:
        nonlocal rows
        for table in _tables(directory, name) if before != 0 else ():
            table = _conform(table, schema, directory / name)
            if before is not None:
                table = table.filter(pc.less(table["iteration"], before))
            rows += len(table)
            yield table

    marked = schema.with_metadata({**schema.metadata, _APPENDS: str(appends).encode()})
    _write_tables(directory / f"{name}.parquet", kept(), marked)
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


def _tables(directory: Path, name: str) -> Iterator[pa.Table]:
    whole = directory / f"{name}.parquet"
    if whole.exists():
        yield _read_table(whole)
    for file, _, _ in parts(directory, name):
        yield _read_table(file)


def _read_table(path: Path) -> pa.Table:
    try:
        check_size(path)
        return pq.read_table(path, page_checksum_verification=True, partitioning=None)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file fails in any of the ways of pyarrow
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise FpnProbeError(
            f"cannot read {path}: {line:.200}; put it back from a copy, or measure again"
        ) from error


def _to_frame(table: pa.Table, path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = table.to_pandas()
    except ValueError as error:  # bytes of a damaged column that are no text
        raise FpnProbeError(
            f"cannot read {path}: {error!s:.200}; put it back from a copy, or measure again"
        ) from error
    return frame


def _conform(table: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise FpnProbeError(
            f"not a ledger: {path} has no column {missing[0]!r}; expected {', '.join(schema.names)}"
        )
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise FpnProbeError(f"not a ledger: {path}: {error}") from error


def _write_tables(path: Path, tables: Iterator[pa.Table], schema: pa.Schema) -> None:
    def fill(file: BinaryIO) -> None:
        with ExitStack() as close:
            writer = pq.ParquetWriter(file, schema, write_page_checksum=True)
            close.callback(writer.close)
            for table in tables:
                # Only our metadata: pandas' own holds its version and makes equal tables differ.
                writer.write_table(table.replace_schema_metadata(schema.metadata))

    atomic.write(path, fill)


def _all_parts(directory: Path, name: str) -> list[tuple[Path, int, int]]:
    part_files = []
    for file in part_folder(directory, name).glob("*.parquet"):
        numbers = file.stem.split("-")
        if len(numbers) <= 2 and all(number.isdigit() for number in numbers):
            part_files.append((file, int(numbers[0]), int(numbers[-1])))
    return part_files


def _appends(whole: Path) -> int:
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
