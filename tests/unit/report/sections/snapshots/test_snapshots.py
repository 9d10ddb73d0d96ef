"""Kept weights on the same images: what is drawn is what the stored ledgers say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fpnprobe.report import build
from fpnprobe.report.page.content import Figure, Section, Table, Text
from fpnprobe.report.sections import snapshots
from fpnprobe.report.tables.read_studies import read

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_anywhere: Any) -> Path:
    path: Path = make_anywhere(
        tmp_path_factory.mktemp("study"), variants=("DC5", "FPN"), seeds=(0, 1), kept=(100, 500)
    )
    return path


def section(folder: Path) -> Section:
    found = snapshots.section(read([folder]))
    assert found is not None
    return found


def named(found: Section, name: str) -> Any:
    return next(b for b in found.blocks if isinstance(b, Figure | Table) and b.name == name)


def slow_share(path: Path, tap: str, route: str, bucket: str) -> float:
    """Squared norms averaged over batches, then their share: with loops, from the definition."""
    frame = pd.read_parquet(path / "ledger.parquet")
    squares: dict[str, list[float]] = {}
    for row in frame.to_dict("records"):
        if (row["tap"], row["route"], row["term"], row["kind"]) == (
            tap,
            route,
            "all",
            "activation",
        ):
            squares.setdefault(row["bucket"], []).append(row["l2"] ** 2)
    means = {b: sum(v) / len(v) for b, v in squares.items() if b not in ("background", "all")}
    return means[bucket] / sum(means.values())


def test_shares_are_those_of_the_ledgers(folder: Path) -> None:
    table = named(section(folder), "kept-shares").table
    assert set(table["bucket"]) == {"large"} and set(table["trained"]) == {100, 500}
    row = table[
        (table["variant"] == "FPN") & (table["tap"] == "C3") & (table["route"] == "direct")
        & (table["trained"] == 500)
    ].iloc[0]  # fmt: skip
    paths = [folder / f"cells/fpn/seed-{seed}/offline/iteration-500" for seed in (0, 1)]
    seeds = [100 * slow_share(path, "C3", "direct", "large") for path in paths]
    assert row["value"] == pytest.approx(np.mean(seeds))
    assert (row["low"], row["high"], row["seeds"]) == pytest.approx((min(seeds), max(seeds), 2))


def test_index_is_between_one_size_and_all(folder: Path) -> None:
    figure = named(section(folder), "kept-index")
    assert figure.table["value"].between(1 / 3, 1).all()
    assert "With the last weights, " in figure.caption


def test_a_row_of_panels_is_a_route(folder: Path) -> None:
    figure = named(section(folder), "kept-shares")
    assert [(p.title, p.new_row) for p in figure.panels] == [
        ("C2 total", True), ("C3 total", False), ("C4 total", False), ("C5 total", False),
        ("C2 direct", True), ("C3 direct", False), ("C4 direct", False), ("C5 direct", False),
        ("C2 deeper", True), ("C3 deeper", False), ("C4 deeper", False), ("C5 deeper", False),
    ][: len(figure.panels)]  # fmt: skip
    assert "from 100 to 500 iterations, large objects at C2 hold: DC5 " in figure.caption


def test_numbers_hold_every_bucket(folder: Path) -> None:
    table = named(section(folder), "kept-numbers")
    assert table.folded and list(table.frame.columns[-2:]) == ["100", "500"]
    mine = table.frame[(table.frame["variant"] == "FPN") & (table.frame["stage"] == "C2")]
    here = mine[mine["route"] == "total"]
    assert here["of"].tolist() == [
        "small objects, %",
        "medium objects, %",
        "large objects, %",
        "index",
    ]
    parts = [float(text.split(" [")[0]) for text in here["500"].iloc[:3]]
    assert sum(parts) == pytest.approx(100, abs=0.2)


def test_none_measured_no_section(make_study: Make) -> None:
    assert snapshots.section(read([make_study()])) is None


def test_damage_and_gaps_are_named(make_study: Make) -> None:
    folder = make_study(seeds=(0, 1), kept=(100, 500))
    cut = folder / "cells/fpn/seed-0/offline/iteration-100/ledger.parquet"
    cut.write_bytes(b"PAR1 cut")
    strange = folder / "cells/fpn/seed-1/offline/iteration-100/ledger.parquet"
    pd.DataFrame({"iteration": [0]}).to_parquet(strange)
    for path in folder.glob("cells/dc5/seed-1/offline/*/*"):
        path.unlink()
    for path in folder.glob("cells/dc5/seed-1/offline/*"):
        path.rmdir()
    stored = read([folder])
    for seed in (0, 1):
        said = f"FPN, seed {seed}: the measurement after 100 iterations has no readable ledger"
        assert said in stored.holes
    blocks = section(folder).blocks
    holes = [block.body for block in blocks if isinstance(block, Text) and block.tone == "hole"]
    assert holes == ["Not measured: DC5, seed 1."]
    build(folder)
    assert "after 100 iterations has no readable ledger" in (folder / "report.html").read_text()


def test_sums_that_do_not_hold_are_named(make_study: Make) -> None:
    folder = make_study(kept=(100,))
    path = folder / "cells/fpn/seed-0/offline/iteration-100/ledger.parquet"
    frame = pd.read_parquet(path)
    frame["residual_gradient"] = 0.02
    frame.to_parquet(path)
    holes = [b.body for b in section(folder).blocks if isinstance(b, Text) and b.tone == "hole"]
    assert holes == ["Over tolerance, do not use: FPN, seed 0 after 100 iterations (2e-02)."]
