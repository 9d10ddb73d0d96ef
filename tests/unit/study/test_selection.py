"""Cells that nobody asked for are told as such: in the end table, in `status`, in the report."""

import json

import pytest

from fpnprobe.report.tables.read_studies import read
from fpnprobe.store.locks import held
from fpnprobe.store.study import StoredStudy
from fpnprobe.study import run_result, snapshot
from fpnprobe.study.folder import study_folder
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.selection import list_unasked, mark_selection


def select(result: Output, *variants: str) -> Output:
    cells = [cell for cell in result.cells if not variants or cell.variant in variants]
    marked = mark_selection(result, cells)
    marked.write()
    return marked


def test_what_was_left_out_is_told_everywhere(result: Output) -> None:
    marked = select(result, "DC5")
    assert study_folder.read(result.out).unasked == {("FPN", 0), ("FPN", 1)}
    unasked = list_unasked(marked)
    assert unasked == [{"variant": "FPN", "seed": 0}, {"variant": "FPN", "seed": 1}]
    told = {"cells": [], "contradicted": [], "report": {}, "not_asked_for": unasked}
    assert run_result.lines(told) == (
        "2 cells of the study were not asked for: FPN seeds 0, 1 (run again without --variants "
        "and --seeds for all)"
    )
    status = snapshot.status(result.out)
    assert [cell["state"] for cell in status["cells"]] == ["pending"] * 4
    assert snapshot.lines(status).splitlines()[2:4] == [
        "DC5 seed 1: pending 0/10", "FPN seed 0: not asked for",
    ]  # fmt: skip
    stored = read([result.out])
    assert [cell.variant for cell in stored.cells] == ["DC5", "DC5"]
    assert [hole for hole in stored.holes if "FPN" in hole] == [
        "2 cells of the study were not asked for: FPN seeds 0, 1: they are left out"
    ]
    assert "DC5, seed 0: missing: never started" in stored.holes


def test_whoever_asks_for_all_leaves_out_none(result: Output) -> None:
    select(result, "DC5")
    marked = select(result)
    assert list_unasked(marked) == []
    assert '"asked"' not in (result.out / "study.json").read_text()
    assert run_result.lines({"cells": [], "contradicted": [], "report": {}}) == ""


def test_a_cell_that_was_begun_is_shown_whoever_asks(result: Output) -> None:
    folder = result.cell("FPN", 0).folder
    folder.mkdir(parents=True)
    manifest = {"variant": "FPN", "seed": 0, "state": "done", "key": result.cell("FPN", 0).key}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert list_unasked(select(result, "DC5")) == [{"variant": "FPN", "seed": 1}]
    reasons = {cell.title: cell.reason for cell in StoredStudy.read(result.out).cells}
    assert reasons["FPN seed 0"] == "" and reasons["FPN seed 1"] == "not asked for"


@pytest.mark.parametrize(("another", "count"), [(True, 0), (False, 2)])
def test_what_another_runner_was_asked_for_counts_while_it_works(
    another: bool, count: int, result: Output
) -> None:
    select(result, "FPN")
    if not another:
        assert len(list_unasked(select(result, "DC5"))) == count
        return
    with held(result.cell("FPN", 0).lock):
        assert len(list_unasked(select(result, "DC5"))) == count
