"""Shares that do not exist, and those of a frozen stage, are not told as measured ones."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import fpnprobe
from fpnprobe.report.build import build
from fpnprobe.report.page.content import Table
from fpnprobe.report.sections import caveats, first_screen, gradients, summary
from fpnprobe.report.tables.read_studies import read
from fpnprobe.report.tables.stored import Stored

Make = Callable[..., Path]


def change_ledgers(folder: Path, change: Callable[[pd.DataFrame], None]) -> Stored:
    for path in folder.rglob("ledger.parquet"):
        frame = pd.read_parquet(path)
        change(frame)
        frame.to_parquet(path, index=False)
    return read([folder])


def remove_large(frame: pd.DataFrame) -> None:
    frame.loc[frame["bucket"] == "large", ["l2", "share", "n_objects"]] = 0


def freeze(frame: pd.DataFrame) -> None:
    frame.loc[frame["tap"] == "C2", "state"] = "would_arrive"


def shares_shown(stored: Stored) -> set[str]:
    (table,) = first_screen.variants(stored)
    assert isinstance(table, Table)
    return {row[-1] for row in table.rows()}


def test_no_large_object_no_share_of_large_objects(make_study: Make) -> None:
    folder = make_study(study={"buckets": []})
    stored = change_ledgers(folder, remove_large)
    assert shares_shown(stored) == {"–"}
    tile = summary.numbers(stored)[2]
    assert (tile.value, tile.detail) == ("–", "no sample holds a large object")
    assert (
        "No sample holds a large object (area at least 96^2 px): no share of large objects exists. "
        "`fpnprobe data check DIR` counts sizes."
    ) in caveats.warnings(stored)
    table = fpnprobe.open(folder).share(tap="C2", bucket="large")
    assert table["share"].isna().all() and set(table["state"]) == {"absent"}
    history = fpnprobe.open(folder).share(tap="C2", bucket="large", over_training=True)
    assert len(history) and history["share"].isna().all()
    text = Path(build(folder)["markdown"]).read_text()
    assert "0 % of that is from large" not in text and "nan" not in text


def test_large_objects_of_one_variant_are_named(make_study: Make) -> None:
    folder = make_study()
    path = folder / "cells/fpn/seed-0/ledger.parquet"
    frame = pd.read_parquet(path)
    remove_large(frame)
    frame.to_parquet(path, index=False)
    (line,) = [line for line in caveats.warnings(read([folder])) if "no share of" in line]
    assert line == (
        "No sample of FPN holds a large object (area at least 72^2 px): no share of large objects "
        "exists."
    )


def test_what_would_arrive_at_a_frozen_stage_is_told(make_study: Make) -> None:
    folder = make_study()
    stored = change_ledgers(folder, freeze)
    assert all(text.endswith(" (would arrive; C2 is frozen)") for text in shares_shown(stored))
    assert "what would arrive: C2 is frozen" in summary.numbers(stored)[2].detail
    section = gradients.section(stored)
    captions = [getattr(block, "caption", "") for block in section.blocks]
    assert any("what would arrive: C2 is frozen." in caption for caption in captions)
    assert set(fpnprobe.open(folder).share()["state"]) == {"would_arrive"}
    assert any("(detector.frozen_stages=0)" in line for line in caveats.warnings(stored))


def test_the_remedy_of_a_training_is_an_option_of_it(
    make_study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = change_ledgers(make_study(), freeze)
    monkeypatch.setattr(Stored, "is_of_runs", property(lambda _: True))
    lines = caveats.warnings(stored)
    assert any("(--cfg-options model.backbone.frozen_stages=0)" in line for line in lines)


@pytest.mark.parametrize(("ap", "told"), [(0.049, True), (0.05, False), (0.0, False)])
def test_a_training_that_found_next_to_nothing_is_told(
    ap: float, told: bool, make_study: Make
) -> None:
    folder = make_study()
    for path in folder.rglob("evaluation.parquet"):
        table = pd.read_parquet(path)
        table["value"] = table["value"].clip(upper=ap)
        table.to_parquet(path, index=False)
    lines = [line for line in caveats.warnings(read([folder])) if "Hardly trained" in line]
    assert bool(lines) == told
    assert all("AP is 4.9 at most" in line for line in lines)


def test_a_route_by_which_nothing_arrives_is_empty(make_study: Make) -> None:
    def close(frame: pd.DataFrame) -> None:
        frame.loc[(frame["tap"] == "C2") & (frame["route"] == "direct"), ["l2", "share"]] = 0

    folder = make_study()
    change_ledgers(folder, close)
    table = fpnprobe.open(folder).share("C2", "large", "direct")  # by position, as one says it
    assert table["share"].isna().all() and set(table["state"]) == {"empty"}
    for frame in (table, fpnprobe.open(folder).share("C2", "large", "direct", over_training=True)):
        places = frame[["tap", "bucket", "route"]].drop_duplicates()
        assert places.to_numpy().tolist() == [["C2", "large", "direct"]]
    assert set(fpnprobe.open(folder).share("C2", "large")["state"]) == {"measured"}
