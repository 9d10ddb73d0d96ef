"""Parquet files of a table that grows: one small part for each append, merged when closed.

A part is written atomically, so a crash loses at most the append that was running.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic


def write_file(path: Path, frame: pd.DataFrame, columns: Mapping[str, tuple[str, str]]) -> None:
    """Write one parquet file; every column carries its definition in the schema's metadata."""
    fields = [
        pa.field(name, pa.type_for_alias(kind), metadata={"definition": text})
        for name, (kind, text) in columns.items()
    ]
    definitions = {name: text for name, (_, text) in columns.items()}
    schema = pa.schema(fields, metadata={"fpnprobe": json.dumps({"columns": definitions})})
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    # Keep only our metadata: pandas' own holds its version and makes equal tables differ.
    table = table.replace_schema_metadata(schema.metadata)
    atomic.write(path, lambda file: pq.write_table(table, file))


def read_file(path: Path) -> pd.DataFrame:
    """Read one parquet file.

    Raises:
        FpnProbeError: if it is missing or not parquet.
    """
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except Exception as error:  # a damaged file fails in any of the ways of pyarrow and pandas
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise FpnProbeError(f"cannot read {path}: {line}") from error
    return frame


def part_folder(directory: Path, name: str) -> Path:
    """Folder of the parts that are not merged yet."""
    return directory / f"{name}.parts"


def parts(directory: Path, name: str) -> list[Path]:
    """Part files in the order they were appended."""
    return sorted(part_folder(directory, name).glob("*.parquet"))


def read(directory: Path, name: str) -> pd.DataFrame | None:
    """Read `<name>.parquet` and the parts beside it, or None where neither exists."""
    whole = directory / f"{name}.parquet"
    files = [*([whole] if whole.exists() else []), *parts(directory, name)]
    if not files:
        return None
    frames = [read_file(file) for file in files]
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def remove_parts(directory: Path, name: str) -> None:
    """Delete the parts, after they were merged."""
    for file in parts(directory, name):
        file.unlink()
    folder = part_folder(directory, name)
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
