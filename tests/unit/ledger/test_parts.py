"""Parts of a growing table: their names hold the appends that they have, whatever was gathered."""

from pathlib import Path

import pandas as pd

from fpnprobe.ledger import COLUMNS, LedgerWriter, parts
from tests.unit.ledger.test_ledger import at


def append(folder: Path, count: int) -> None:
    """Let a writer die after so many appends, which leaves their parts."""
    writer = LedgerWriter(folder)
    for iteration in range(count):
        writer.append([at(iteration)])


def ranges(folder: Path) -> list[tuple[int, int]]:
    return [(first, last) for _, first, last in parts.parts(folder, "ledger")]


def test_the_next_append_follows_the_last_part(tmp_path: Path) -> None:
    assert parts.next_append(tmp_path, "ledger") == 0
    append(tmp_path, 3)
    assert parts.next_append(tmp_path, "ledger") == 3


def test_the_next_append_follows_the_whole_file(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path) as writer:
        for iteration in range(4):
            writer.append([at(iteration)])
    assert ranges(tmp_path) == [] and parts.next_append(tmp_path, "ledger") == 4


def test_gathered_parts_have_one_name_for_all_their_appends(tmp_path: Path) -> None:
    append(tmp_path, 6)
    parts.gather(tmp_path, "ledger", COLUMNS, first=1, last=2)
    parts.gather(tmp_path, "ledger", COLUMNS, first=3, last=4)
    assert ranges(tmp_path) == [(0, 0), (1, 2), (3, 4), (5, 5)]
    parts.gather(tmp_path, "ledger", COLUMNS, first=2, last=4)  # a half of (1, 2) is outside
    assert ranges(tmp_path) == [(0, 0), (1, 2), (3, 4), (5, 5)]
    parts.gather(tmp_path, "ledger", COLUMNS, first=1, last=4)  # of parts that are gathered ones
    assert ranges(tmp_path) == [(0, 0), (1, 4), (5, 5)]
    assert parts.next_append(tmp_path, "ledger") == 6
    table = parts.read(tmp_path, "ledger")
    assert isinstance(table, pd.DataFrame) and table["iteration"].tolist() == list(range(6))


def test_a_single_part_is_left_as_it_is(tmp_path: Path) -> None:
    append(tmp_path, 2)
    before = ranges(tmp_path)
    parts.gather(tmp_path, "ledger", COLUMNS, first=1, last=1)
    assert ranges(tmp_path) == before
    parts.gather(tmp_path, "ledger", COLUMNS, first=0, last=1)
    assert ranges(tmp_path) == [(0, 1)]


def test_a_file_whose_name_is_no_number_is_no_part(tmp_path: Path) -> None:
    append(tmp_path, 1)
    (part,) = parts.part_folder(tmp_path, "ledger").glob("*.parquet")
    (part.parent / "².parquet").write_bytes(part.read_bytes())
    assert ranges(tmp_path) == [(0, 0)]
