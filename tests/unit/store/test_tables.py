"""Tables of a run folder: bounded memory, one line where damaged."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fpnprobe.store import tables
from fpnprobe.store.tables import DamagedTable, read_parquet


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 cut PAR1", bytes(100), b"text"])
def test_what_is_no_table_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(content)
    with pytest.raises(DamagedTable, match=r"cannot read .*a\.parquet") as caught:
        read_parquet(file)
    assert "\n" not in str(caught.value)


def test_every_cut_of_a_table_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pd.DataFrame({"a": range(500), "b": ["x"] * 500}).to_parquet(file)
    content = file.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 40)):
        file.write_bytes(content[:length])
        with pytest.raises(DamagedTable):
            read_parquet(file)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(DamagedTable, match="not there"):
        read_parquet(tmp_path / "a.parquet")


def test_a_table_of_another_form(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pd.DataFrame({"value": ["x"], "metric": [1.0]}).to_parquet(file)
    with pytest.raises(DamagedTable, match="has no number in the column 'value'"):
        read_parquet(file, {"value": "number"})
    with pytest.raises(DamagedTable, match="has no text in the column 'metric'"):
        read_parquet(file, {"metric": "text"})
    with pytest.raises(DamagedTable, match="has no column 'more'"):
        read_parquet(file, {"more": "text"})
    pd.DataFrame({"value": []}).to_parquet(file)
    assert read_parquet(file, {"value": "number"}).empty


@pytest.mark.parametrize(
    ("most_bytes", "most_values", "read"),
    [(10**6, 20, True), (10**6, 19, False), (1, 20, False)],
)
def test_a_table_of_just_the_most_values_is_read(
    most_bytes: int, most_values: int, read: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (tables.MOST_BYTES, tables.MOST_VALUES) == (2 * 1024**3, 256 * 1024**2)
    monkeypatch.setattr(tables, "MOST_BYTES", most_bytes)
    monkeypatch.setattr(tables, "MOST_VALUES", most_values)
    file = tmp_path / "a.parquet"
    pd.DataFrame({"a": range(10), "b": range(10)}).to_parquet(file)
    if read:
        assert len(read_parquet(file)) == 10
    else:
        with pytest.raises(DamagedTable, match=r"20 values in .* bytes, expected at most"):
            read_parquet(file)


def test_a_small_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    table = pa.table({name: np.zeros(1_000_000, dtype=np.int8) for name in "abcd"})
    with pq.ParquetWriter(file, table.schema, compression="zstd") as writer:
        for _ in range(70):
            writer.write_table(table)
    assert file.stat().st_size < 2_000_000
    with pytest.raises(DamagedTable, match=r"2\.8e\+08 values"):
        read_parquet(file)


def test_bytes_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.parquet"
    pd.DataFrame({"a": ["x" * 10_000]}).to_parquet(file)
    monkeypatch.setattr(tables, "MOST_BYTES", 1000)
    with pytest.raises(DamagedTable, match="expected at most"):
        read_parquet(file)


def test_a_table_as_large_as_is_allowed_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.parquet"
    pd.DataFrame({"a": [1, 2], "b": [3, 4]}).to_parquet(file)
    metadata = pq.read_metadata(file)
    monkeypatch.setattr(tables, "MOST_BYTES", metadata.row_group(0).total_byte_size)
    monkeypatch.setattr(tables, "MOST_VALUES", 4)
    assert len(read_parquet(file)) == 2
    monkeypatch.setattr(tables, "MOST_VALUES", 3)
    with pytest.raises(DamagedTable, match="4 values"):
        read_parquet(file)
