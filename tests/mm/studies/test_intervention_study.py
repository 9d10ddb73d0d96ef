"""Interventions as cells of a study: trained, resumed, recorded, compared with their twins."""

import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from fpnprobe.evidence import build
from fpnprobe.evidence.finished_cells import read_study
from fpnprobe.interventions import intervention
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.runner import exit_codes, worker
from tests.mm.studies.test_resume import StopAfter, assert_same_cell, final_weights
from tests.mm.tiny import tiny

DIRECT = {"stages": "C2..C4", "route": "direct"}
BALANCED = {
    "name": "FPN~early",
    "build": "FPN",
    "intervention": {"balance": {**DIRECT, "begin": 2, "decay": 0.5}},
}


def run(out: Path, *variants: Any, stop: threading.Event | None = None, **changes: Any) -> Cell:
    """Run the last variant's cell of the tiny study."""
    cell = tiny(out, variants=list(variants), **changes)
    last = cell.cells[-1]
    code = worker.run(cell, last.variant, 0, device="cpu", stop=stop or threading.Event())
    manifest = last.manifest() or {}
    assert manifest["state"] == ("running" if code == exit_codes.STOPPED else manifest["state"])
    return last


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("plain"), "FPN").folder


def test_gains_of_one_train_the_twin_and_cut_does_not(tmp_path: Path, plain: Path) -> None:
    ones = {"name": "ones", "build": "FPN", "intervention": [{**DIRECT, "gain": 1.0}]}
    same = final_weights(run(tmp_path / "ones", ones).folder)
    cut = final_weights(run(tmp_path / "cut", "FPN~cut-direct").folder)
    twin = final_weights(plain)
    assert all(torch.equal(twin[name], same[name]) for name in twin)
    assert any(not torch.equal(twin[name], cut[name]) for name in twin)


def test_a_stopped_balance_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", BALANCED)
    parts = tmp_path / "parts"
    for _ in range(2):
        cell = run(parts, BALANCED, stop=StopAfter(4))
        assert cell.state() == "interrupted"
    assert_same_cell(run(parts, BALANCED).folder, whole.folder)


def test_the_manifest_and_the_evidence_name_it(tmp_path: Path) -> None:
    out = tmp_path / "study"
    run(out, "FPN~no-small-direct", "FPN")
    result = tiny(out, variants=["FPN~no-small-direct", "FPN"])
    cell = result.cells[0]
    assert (
        worker.run(result, cell.variant, 0, device="cpu", stop=threading.Event()) == exit_codes.DONE
    )
    manifest = cell.manifest() or {}
    change = intervention("no-small-direct").to_data()
    assert manifest["intervention"] == change
    assert manifest["config"]["variants"][0]["intervention"] == change
    assert manifest["probe"]["intervention"] == change
    assert any("gradient before the gains" in note for note in manifest["notes"])
    assert manifest["probe"]["residuals"]["gradient"] < 1e-5
    ledger = pd.read_parquet(cell.folder / "ledger.parquet")
    assert set(ledger["variant"]) == {"FPN~no-small-direct"}
    build.build(out, resamples=10)
    table = pd.read_parquet(out / "evidence" / "comparison.parquet")
    assert set(zip(table["variant"], table["baseline"], strict=True)) == {
        ("FPN~no-small-direct", "FPN")
    }
    assert read_study(out).intervened()[0].twin == "FPN"


def test_without_a_probe_it_still_acts_and_nothing_is_measured(tmp_path: Path, plain: Path) -> None:
    cell = run(tmp_path / "a", "FPN~cut-direct", probe__mode=None)
    probed = run(tmp_path / "b", "FPN~cut-direct")
    silent, seen = final_weights(cell.folder), final_weights(probed.folder)
    assert all(torch.equal(silent[name], seen[name]) for name in seen)
    assert (cell.manifest() or {})["probe"]["samples"] == 0
    assert pd.read_parquet(cell.folder / "ledger.parquet").empty


def test_a_route_that_does_not_exist_is_the_reason(tmp_path: Path) -> None:
    manifest = run(tmp_path, "DC5~cut-direct").manifest() or {}
    assert manifest["state"] == "failed"
    assert manifest["reason"] == (
        "Intervention(C2..C4 direct all x0): C2 has no direct route; it has deeper"
    )
