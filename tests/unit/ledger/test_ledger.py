import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import (
    COLUMNS,
    CONFLICT_COLUMNS,
    ConflictRecord,
    GradientRecord,
    Ledger,
    LedgerWriter,
    files,
)

RECORD = GradientRecord(
    iteration=0,
    epoch=0,
    tap="C2",
    level=2,
    kind="activation",
    route="total",
    bucket="small",
    term="all",
    l2=3.0,
    share=0.25,
    n_objects=4,
    n_rows=9,
)
CONFLICT = ConflictRecord(
    iteration=0, tap="C2", kind="activation", bucket_a="small", bucket_b="large", cosine=-0.5
)


def at(iteration: int) -> GradientRecord:
    return replace(RECORD, iteration=iteration)


def test_columns_are_the_published_ones() -> None:
    assert " ".join(COLUMNS) == (
        "study variant seed iteration epoch tap level kind route bucket term l2 share n_objects "
        "n_rows state residual_loss residual_gradient residual_routes"
    )
    assert " ".join(CONFLICT_COLUMNS) == (
        "study variant seed iteration tap kind bucket_a bucket_b cosine"
    )


def test_fpnprobe_ledger_is_the_ledger() -> None:
    assert fpnprobe.Ledger is Ledger


finite = st.floats(allow_nan=True, allow_infinity=False, width=64)
records = st.lists(
    st.builds(
        GradientRecord,
        iteration=st.integers(0, 10**9),
        epoch=st.integers(0, 1000),
        tap=st.sampled_from(["C2", "P6"]),
        level=st.integers(0, 9),
        kind=st.sampled_from(["activation", "parameter"]),
        route=st.sampled_from(["total", "direct"]),
        bucket=st.sampled_from(["small", "background", "all"]),
        term=st.sampled_from(["all", "L3"]),
        l2=finite,
        share=finite,
        n_objects=st.integers(-1, 10**6),
        n_rows=st.integers(0, 10**9),
        state=st.sampled_from(["measured", "frozen"]),
    ),
    max_size=8,
    unique_by=lambda r: (r.iteration, r.tap, r.kind, r.route, r.bucket, r.term),
)


@settings(max_examples=25, deadline=None)
@given(rows=records)
def test_what_is_written_is_read(
    rows: list[GradientRecord], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger.of(rows, [CONFLICT], study="s", variant="v", seed=7)
    ledger.write(folder)
    again = Ledger.read(folder)
    pd.testing.assert_frame_equal(again.frame, ledger.frame, check_exact=True)
    pd.testing.assert_frame_equal(again.conflict, ledger.conflict, check_exact=True)
    pd.testing.assert_frame_equal(Ledger.read(folder / "ledger.parquet").frame, ledger.frame)


def test_the_file_explains_its_columns(tmp_path: Path) -> None:
    Ledger.of([RECORD]).write(tmp_path)
    schema = pq.read_schema(tmp_path / "ledger.parquet")
    assert set(json.loads(schema.metadata[b"fpnprobe"])["columns"]) == set(COLUMNS)
    assert b"Euclidean norm" in schema.field("l2").metadata[b"definition"]


def test_a_crash_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, study="s", variant="FPN", seed=3)
    for i in range(3):
        writer.append([at(i)], [replace(CONFLICT, iteration=i)])
    del writer  # never closed
    found = Ledger.read(tmp_path)
    assert found.frame.iteration.tolist() == [0, 1, 2]
    assert found.conflict.iteration.tolist() == [0, 1, 2]
    assert set(found.frame.variant) == {"FPN"} and set(found.frame.seed) == {3}


def test_a_crash_between_merge_and_cleaning_leaves_no_row_twice(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path)
    writer.append([at(0)])
    Ledger.read(tmp_path).write(tmp_path)  # the merge of flush(), and then the power fails
    assert Ledger.read(tmp_path).frame.iteration.tolist() == [0]


@pytest.mark.parametrize("closed", [True, False])
def test_resuming_drops_the_rows_that_come_again(tmp_path: Path, closed: bool) -> None:
    writer = LedgerWriter(tmp_path)
    for i in range(4):
        writer.append([at(i)], [replace(CONFLICT, iteration=i)])
    if closed:
        writer.close()
    with LedgerWriter(tmp_path, resume_at=2) as again:
        again.append([at(2)])
    found = Ledger.read(tmp_path)
    assert found.frame.iteration.tolist() == [0, 1, 2]
    assert found.conflict.iteration.tolist() == [0, 1]


def test_a_cell_without_a_name_is_seed_0(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path) as writer:
        writer.append([RECORD])
    for ledger in (Ledger.read(tmp_path), Ledger.of([RECORD])):
        cell = ledger.frame[["study", "variant", "seed"]].to_dict("records")
        assert cell == [{"study": "", "variant": "", "seed": 0}]


def test_going_on_with_other_columns_names_the_one_that_is_missing(tmp_path: Path) -> None:
    Ledger.of([RECORD]).frame.drop(columns="share").to_parquet(tmp_path / "ledger.parquet")
    with pytest.raises(FpnProbeError, match="has no column 'share'; expected study, variant"):
        LedgerWriter(tmp_path, resume_at=1)


def test_starting_afresh_drops_everything(tmp_path: Path) -> None:
    LedgerWriter(tmp_path).append([at(0), at(5)])
    LedgerWriter(tmp_path).close()
    assert len(Ledger.read(tmp_path)) == 0


def test_many_appends_leave_two_files(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path) as writer:
        for i in range(120):
            writer.append([at(i)])
        assert len([*(tmp_path / "ledger.parts").iterdir()]) == 21, "a hundred in one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["conflict.parquet", "ledger.parquet"]
    assert Ledger.read(tmp_path).frame.iteration.tolist() == [*range(120)]


def test_a_closed_writer_takes_nothing(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(FpnProbeError, match="closed"):
        writer.append([RECORD])


def test_a_missing_column_raises(tmp_path: Path) -> None:
    Ledger.of([RECORD]).frame.drop(columns="share").to_parquet(tmp_path / "ledger.parquet")
    with pytest.raises(FpnProbeError, match="column 'share' is missing"):
        Ledger.read(tmp_path)


def test_no_ledger_says_so(tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="no ledger in"):
        Ledger.read(tmp_path)


def test_half_a_file_says_so(tmp_path: Path) -> None:
    Ledger.of([RECORD]).write(tmp_path)
    whole = (tmp_path / "ledger.parquet").read_bytes()
    (tmp_path / "ledger.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FpnProbeError, match="cannot read"):
        Ledger.read(tmp_path)


def test_ledgers_of_cells_join() -> None:
    both = Ledger.concat([Ledger.of([RECORD], variant=name) for name in ("DC5", "FPN")])
    assert repr(both) == "Ledger(2 records, 0 conflicts, variants: DC5, FPN, iterations: 0..0)"
    assert len(Ledger.concat([])) == 0
    assert np.isnan(Ledger.of([replace(RECORD, l2=float("nan"))]).to_pandas().l2[0])


def test_a_resumed_ledger_that_lost_rows_is_an_error(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path) as writer:
        for i in range(6):
            writer.append([at(i)])
        rows = writer.rows
    assert rows == {"ledger": 6, "conflict": 0}
    with LedgerWriter(tmp_path, resume_at=6, resume_rows=rows) as again:
        assert again.rows == rows
    (tmp_path / "ledger.parquet").unlink()
    with pytest.raises(FpnProbeError, match=r"ledger\.parquet has lost rows: 0 of 6"):
        LedgerWriter(tmp_path, resume_at=6, resume_rows=rows)


def test_a_part_that_is_gone_is_named_and_counts_when_it_is_put_back(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path)
    for i in range(4):
        writer.append([at(i)])
    rows = writer.rows  # and here its process is killed
    folder = tmp_path / "ledger.parts"
    second, last = (folder / f"{n:08d}-{n:08d}.parquet" for n in (1, 3))
    for part, where in ((second, rf"3 of 4 .*ledger\.parts/{second.name} is missing"),
                        (last, r"3 of 4 .*ledger\.parts included")):  # fmt: skip
        content = part.read_bytes()
        part.unlink()
        with pytest.raises(FpnProbeError, match=where):
            LedgerWriter(tmp_path, resume_at=4, resume_rows=rows)
        part.write_bytes(content)
    with LedgerWriter(tmp_path, resume_at=4, resume_rows=rows) as again:
        assert again.rows == rows


def test_no_part_of_conflicts_is_missed_that_was_never_written(tmp_path: Path) -> None:
    cosine = ConflictRecord(
        iteration=0, tap="C2", kind="parameter", bucket_a="small", bucket_b="large", cosine=0.5
    )
    writer = LedgerWriter(tmp_path)
    for i in range(5):  # conflicts in every second append, as of a sample that is not sound
        writer.append([at(i)], [replace(cosine, iteration=i)] if i % 2 == 0 else [])
    rows = writer.rows
    (tmp_path / "conflict.parts" / "00000004-00000004.parquet").unlink()
    with pytest.raises(FpnProbeError, match=r"2 of 3 .*, conflict\.parts included"):
        LedgerWriter(tmp_path, resume_at=5, resume_rows=rows)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path) as writer:
        for i in range(50):
            writer.append([at(i)])
    file = tmp_path / "ledger.parquet"
    content = file.read_bytes()
    place = content.index(b"activation")
    file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(FpnProbeError, match=r"cannot read .*ledger\.parquet: .*copy"):
        Ledger.read(tmp_path)


def test_what_a_crash_left_is_not_read_twice(tmp_path: Path) -> None:
    """Killed after parts were gathered or merged, before the old ones were removed."""
    writer = LedgerWriter(tmp_path)
    folder = tmp_path / "ledger.parts"
    for i in range(100):
        writer.append([at(i)])
        if i == 98:
            old = {file.name: file.read_bytes() for file in folder.iterdir()}
    for name, content in old.items():
        (folder / name).write_bytes(content)
    assert Ledger.read(tmp_path).frame.iteration.tolist() == list(range(100))
    parts = {file.name: file.read_bytes() for file in folder.iterdir()}
    writer.close()
    folder.mkdir()
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    assert Ledger.read(tmp_path).frame.iteration.tolist() == list(range(100))
    with LedgerWriter(tmp_path, resume_at=50) as again:
        assert again.rows["ledger"] == 50
        again.append([at(50)])
    assert Ledger.read(tmp_path).frame.iteration.tolist() == list(range(51))


def test_a_long_ledger_is_rewritten_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row is written at most four times, however long the ledger is."""
    monkeypatch.setattr("fpnprobe.ledger.writer._GATHERED", 4)
    rows = 0
    write = files.write_tables

    def counted(path: Path, tables: Any, schema: Any) -> None:
        nonlocal rows
        content = list(tables)
        rows += sum(len(table) for table in content)
        write(path, iter(content), schema)

    for module in ("files", "parts"):
        monkeypatch.setattr(f"fpnprobe.ledger.{module}.write_tables", counted)
    with LedgerWriter(tmp_path) as writer:
        for i in range(64):
            writer.append([at(i)])
        assert len(list((tmp_path / "ledger.parts").iterdir())) == 4
    assert rows == 4 * 64


def test_other_programs_read_parts_as_one_table(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path)
    for i in range(3):
        writer.append([at(i)])
    parts = pq.ParquetDataset(tmp_path / "ledger.parts").read()
    assert parts["iteration"].to_pylist() == [0, 1, 2]
    assert parts.schema.equals(pq.read_schema(tmp_path / "ledger.parquet"))


def read_by_duckdb(names: list[str]) -> list[int]:
    duckdb = pytest.importorskip("duckdb")
    query = f"SELECT iteration FROM read_parquet({names}) ORDER BY iteration"
    return [row[0] for row in duckdb.sql(query).fetchall()]


def read_by_polars(names: list[str]) -> list[int]:
    polars = pytest.importorskip("polars")
    found: list[int] = polars.scan_parquet(names).collect()["iteration"].sort().to_list()
    return found


@pytest.mark.parametrize("read", [read_by_duckdb, read_by_polars])
def test_duckdb_and_polars_read_a_ledger_that_grows(
    read: Callable[[list[str]], list[int]], tmp_path: Path
) -> None:
    """As the package's docstring says: the table so far, and its parts."""
    with LedgerWriter(tmp_path) as writer:
        writer.append([at(0)])
    writer = LedgerWriter(tmp_path, resume_at=1)
    for i in (1, 2):
        writer.append([at(i)])
    names = [str(tmp_path / "ledger.parquet"), str(tmp_path / "ledger.parts" / "*.parquet")]
    assert read(names) == [0, 1, 2] == sorted(Ledger.read(tmp_path).frame.iteration)


def test_temporary_files_of_a_killed_writer_are_swept(tmp_path: Path) -> None:
    LedgerWriter(tmp_path).append([at(0)])
    for left in (tmp_path / ".ledger.parquet.abc", tmp_path / "ledger.parts/.0.parquet.xyz"):
        left.write_text("half")
    (tmp_path / ".mine").write_text("not ours")
    LedgerWriter(tmp_path, resume_at=1).close()
    assert {p.name for p in tmp_path.iterdir()} == {"ledger.parquet", "conflict.parquet", ".mine"}
