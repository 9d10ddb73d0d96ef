"""One parquet file of a ledger: every column carries its definition; damage is one sentence."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic
from fpnprobe.store.tables import check_size

Columns = Mapping[str, tuple[str, str]]


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
    write_tables(path, iter([table]), schema)


def read_file(path: Path) -> pd.DataFrame:
    """Read one parquet file.

    Raises:
        FpnProbeError: If it is missing or damaged.
    """
    try:
        table = read_table(path)
    except FileNotFoundError:
        raise FpnProbeError(f"cannot read {path}: it is not there") from None
    return to_frame(table, path)


def read_table(path: Path) -> pa.Table:
    """Read one file with its checksums.

    Raises:
        FileNotFoundError: If it is not there.
        FpnProbeError: If it is damaged.
    """
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


def to_frame(table: pa.Table, path: Path) -> pd.DataFrame:
    """Convert what was read from a file.

    Raises:
        FpnProbeError: If a column holds bytes that are no text.
    """
    try:
        frame: pd.DataFrame = table.to_pandas()
    except ValueError as error:  # bytes of a damaged column that are no text
        raise FpnProbeError(
            f"cannot read {path}: {error!s:.200}; put it back from a copy, or measure again"
        ) from error
    return frame


def conform(table: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    """Bring a table to a schema: its columns alone, in its order and types.

    Raises:
        FpnProbeError: If it has no such columns.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise FpnProbeError(
            f"not a ledger: {path} has no column {missing[0]!r}; expected {', '.join(schema.names)}"
        )
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise FpnProbeError(f"not a ledger: {path}: {error}") from error


def write_tables(path: Path, tables: Iterator[pa.Table], schema: pa.Schema) -> None:
    """Write tables into one file atomically, one in memory at a time."""

    def fill(file: BinaryIO) -> None:
        with ExitStack() as close:
            writer = pq.ParquetWriter(file, schema, write_page_checksum=True)
            close.callback(writer.close)
            for table in tables:
                # Only our metadata: pandas' own holds its version and makes equal tables differ.
                writer.write_table(table.replace_schema_metadata(schema.metadata))

    atomic.write(path, fill)
