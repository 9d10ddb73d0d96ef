"""Damage that a report meets: a named hole, never a traceback, never silent."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.comparison import Comparison
from fpnprobe.evidence.finished_cells import read_study
from fpnprobe.report.build import _write_csv, build
from fpnprobe.report.tables.read_studies import read
from fpnprobe.store.digests import digest_folder


def forget_variant(folder: Path, name: str) -> None:
    """As an interrupted `run-study --set variants=...` leaves it: old evidence, fewer variants."""
    content = json.loads((folder / "study.json").read_text())
    content["variants"] = [each for each in content["variants"] if each != name]
    content["cells"] = [c for c in content.get("cells") or [] if c["variant"] != name]
    (folder / "study.json").write_text(json.dumps(content))
    shutil.rmtree(folder / "cells" / name.lower())


def test_evidence_of_a_variant_that_is_gone_is_named(make_study: Callable[..., Path]) -> None:
    folder = make_study(variants=("DC5", "FPN"), seeds=(0, 1))
    forget_variant(folder, "DC5")
    stored = read([folder])
    assert any("DC5 is in evidence/" in hole for hole in stored.holes)
    for table in stored.evidence.values():
        for column in {"variant", "baseline"} & set(table.columns):
            assert "DC5" not in set(table[column])
    fpnprobe.open(folder).figure("size-curve")


def test_a_file_that_changed_since_the_cell_was_finished(make_study: Callable[..., Path]) -> None:
    folder = make_study(variants=("DC5", "FPN"), seeds=(0, 1))
    for file in folder.glob("cells/*/*/manifest.json"):
        content = json.loads(file.read_text()) | {"files": digest_folder(file.parent)}
        file.write_text(json.dumps(content))
    assert len(read([folder]).evaluation["variant"].unique()) == 2
    table = folder / "cells/fpn/seed-1/evaluation.parquet"
    pd.read_parquet(table).assign(value=0.9).to_parquet(table)
    stored = read([folder])
    assert any("evaluation.parquet is changed since" in hole for hole in stored.holes)
    shown = set(stored.evaluation[["variant", "seed"]].itertuples(index=False, name=None))
    assert shown == {("DC5", 0), ("DC5", 1), ("FPN", 0)}
    assert [(c.variant, c.seed) for c in read_study(folder).cells if c.variant == "FPN"] == [
        ("FPN", 0)
    ]


FORMS = {
    "training.parquet": pd.DataFrame({"iteration": [], "name": [], "value": []}),
    "evaluation.parquet": pd.DataFrame({"metric": [1.0], "value": ["x"]}),
    "ledger.parquet": pd.DataFrame({"iteration": ["x"], "l2": ["y"]}),
    "conflict.parquet": pd.DataFrame({"a": [1]}),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_table_of_another_form_is_a_hole(name: str, make_study: Callable[..., Path]) -> None:
    folder = make_study(variants=("FPN",), seeds=(0,), evidence=False)
    FORMS[name].to_parquet(folder / "cells/fpn/seed-0" / name)
    holes = read([folder]).holes
    if name != "training.parquet":  # without a row there is nothing to draw
        assert any("FPN, seed 0" in hole or name in hole for hole in holes), holes


@pytest.mark.parametrize(
    "change", [{"cells": [{}]}, {"cells": 3}, {"variants": 3}, {"buckets": 3}], ids=str
)
def test_a_damaged_study_is_reported(
    change: dict[str, object], make_study: Callable[..., Path]
) -> None:
    folder = make_study(variants=("FPN",), seeds=(0,), evidence=False)
    content = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(content | change))
    build(folder)
    assert "is damaged" in (folder / "report.html").read_text()


def test_a_target_that_is_a_file_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(FpnProbeError, match="it is a file"):
        build(tmp_path / "no study is read", out=tmp_path / "mine")


def test_csv_cells_are_no_formulas() -> None:
    frame = pd.DataFrame(
        {"=a": ["=HYPERLINK(1)", "-2+A1", "@x", "+1 -2.5", "FPN", "-", "+1 [0]"], "n": range(7)}
    )
    lines = _write_csv(frame).splitlines()
    assert lines[0] == "'=a,n"
    assert [line.split(",")[0] for line in lines[1:]] == [
        "'=HYPERLINK(1)", "'-2+A1", "'@x", "+1 -2.5", "FPN", "-", "+1 [0]",
    ]  # fmt: skip
    assert _write_csv(pd.DataFrame({"n": [-1.5]})) == "n\n-1.5\n"


def test_names_are_escaped_in_notebooks() -> None:
    name = "<img src=x onerror=alert(1)>"
    columns = ["metric", "a", "b", "difference", "low", "high"]
    table = pd.DataFrame([[f"AP_{name}", 0.1, 0.2, 0.1, 0.0, 0.2]], columns=columns)
    found = Comparison(table=table, curve=pd.DataFrame(), images=1, resamples=1)._repr_html_()
    assert "<img" not in found
    assert "&lt;img" in found
