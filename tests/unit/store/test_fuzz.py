"""Mutated study files, overrides, manifests, studies and ledgers: one line or nothing."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fpnprobe
from fpnprobe.config import loading, overrides
from fpnprobe.evidence.finished_cells import read_study
from fpnprobe.ledger import Ledger, LedgerWriter
from fpnprobe.report.tables.read_studies import read
from fpnprobe.store import StoredStudy
from fpnprobe.store.trust import check_names_no_code
from fpnprobe.study.snapshot import status
from tests.unit.ledger.test_ledger import at
from tests.unit.store.fuzzing import (
    ODD,
    as_text,
    change_json,
    changes,
    edit_bytes,
    edits,
    survive,
)
from tests.unit.study.conftest import content

SHORT, LONG = 6, 400
KINDS = ("study file", "override", "manifest", "study.json", "ledger")
LENGTHS = [SHORT, pytest.param(LONG, marks=pytest.mark.slow)]


def make_run(folder: Path) -> Path:
    """A finished study of one cell, small and whole."""
    cell = folder / "cells/fpn/seed-0"
    with LedgerWriter(cell, study="q", variant="FPN") as writer:
        for iteration in range(3):
            writer.append([at(iteration)])
    frame = pd.DataFrame({"metric": ["AP", "AP_S"], "value": [0.1, 0.2], "iou_type": "bbox"})
    frame = frame.assign(study="q", variant="FPN", seed=0, iteration=3, engine="hotcoco")
    frame.to_parquet(cell / "evaluation.parquet")
    key = "0123456789abcdef" * 4
    manifest = {
        "study": "q", "variant": "FPN", "seed": 0, "key": key, "state": "done", "reason": "",
        "config": content(), "data": {"root": "data", "root_hash": "x", "images": [6, 3]},
        "annotations": "val.json", "classes": ["a"], "notes": ["b"], "iterations": 3,
        "timings": {"train_s": 1.0, "per_iteration_s": 0.1}, "probe": {"mode": "routes"},
        "model": {"parameters": 10, "modules": []}, "versions": {"python": "3.11"}, "holes": {},
        "git": {"revision": None, "dirty": None}, "environment": {}, "device": "cpu", "code": "x",
    }  # fmt: skip
    (cell / "manifest.json").write_text(json.dumps(manifest))
    study = {
        "name": "q", "question": "?", "expected": "", "variants": ["FPN"], "seeds": [0],
        "buckets": [], "evaluation": {"iou_type": "bbox"}, "command": "x", "iterations": 3,
        "cells": [{"variant": "FPN", "seed": 0, "key": key}], "study": content(),
        "source": {"root": "d", "train": "t", "val": "v", "classes": ["a"], "root_hash": "x",
                   "images": [6, 3], "objects": [9, 4], "notes": []},
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(study))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


def look_at(run: Path, outcomes: Counter[str]) -> None:
    """Every reader of a run folder that needs no model."""
    opened = fpnprobe.open(run)
    for action in (
        lambda: status(run),
        lambda: read_study(run),
        lambda: StoredStudy.read(run),
        lambda: read([run]),
        lambda: (repr(opened), opened._repr_html_(), opened.buckets, opened.images),
        lambda: (opened.ledger, opened.evaluation, opened.attribution),
        lambda: check_names_no_code(opened.cells[0].config, source=run) if opened.cells else None,
    ):
        survive(action, outcomes)


def play(kind: str, whole: Path, folder: Path, examples: int) -> Counter[str]:
    """Give so many mutated inputs of a kind to whoever reads them."""
    outcomes: Counter[str] = Counter()

    def fuzz(strategy: st.SearchStrategy[Any], action: Callable[[Any], None]) -> None:
        quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
        wrapped = given(strategy)(action)
        steady = examples == SHORT  # the same inputs each time, in the default run
        options = settings(
            max_examples=examples,
            deadline=None,
            suppress_health_check=quiet,
            derandomize=steady,
            database=None,
        )
        options(wrapped)()

    def file_in_run(name: str, mutate: Callable[[bytes, Any], bytes]) -> Callable[[Any], None]:
        def act(wanted: Any) -> None:
            run = folder / "run"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(whole, run)
            target = run / name
            target.write_bytes(mutate(target.read_bytes(), wanted))
            survive(lambda: look_at(run, outcomes), Counter())

        return act

    def changed(raw: bytes, wanted: Any) -> bytes:
        if len(wanted[0]) == 3:  # edits of the text
            return edit_bytes(raw, wanted)
        return as_text(change_json(json.loads(raw), wanted)).encode("utf-8", "surrogatepass")

    if kind == "study file":

        def act(wanted: Any) -> None:
            changed = change_json(content(), wanted)
            entries = changed.items() if isinstance(changed, dict) else [("x", changed)]
            lines = [f"{name} = {value!r}" for name, value in entries]
            file = folder / "study.py"
            file.write_text("\n".join(lines).replace("nan", "float('nan')"), errors="replace")
            survive(lambda: loading.load(file), outcomes)

        fuzz(changes, act)
    elif kind == "override":
        keys = st.sampled_from([*overrides.keys_and_sections(), "", ".", "a..b", "detector.x"])
        values = st.one_of(st.sampled_from(ODD).map(str), st.text(max_size=30))

        def override(pairs: Any) -> None:
            texts = [f"{key}={value}" for key, value in pairs]
            survive(lambda: loading.validate(overrides.apply(content(), overrides.parse(texts))),
                    outcomes)  # fmt: skip

        fuzz(st.lists(st.tuples(keys, values), min_size=1, max_size=3), override)
    else:
        name = {
            "manifest": "cells/fpn/seed-0/manifest.json",
            "study.json": "study.json",
            "ledger": "cells/fpn/seed-0/ledger.parquet",
        }[kind]
        if kind == "ledger":
            fuzz(edits, file_in_run(name, edit_bytes))
            fuzz(edits, lambda wanted: _ledger(folder, whole / name, wanted, outcomes))
        else:
            fuzz(st.one_of(edits, changes), file_in_run(name, changed))
    return outcomes


def _ledger(folder: Path, source: Path, wanted: Any, outcomes: Counter[str]) -> None:
    file = folder / "ledger.parquet"
    file.write_bytes(edit_bytes(source.read_bytes(), wanted))
    survive(lambda: Ledger.read(file), outcomes)


@pytest.mark.parametrize("examples", LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_line_or_nothing(kind: str, examples: int, whole: Path, tmp_path: Path) -> None:
    outcomes = play(kind, whole, tmp_path, examples)
    print(f"{kind}: {dict(outcomes)}")
    assert sum(outcomes.values()) >= examples // 2
