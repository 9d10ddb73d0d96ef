"""Evidence of trainings that were replaced answers nothing any more."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence import claims
from fpnprobe.evidence.build import write_origin
from fpnprobe.report.build import build
from fpnprobe.store import StoredStudy

Make = Callable[..., Path]
BOTH = [("DC5", 0), ("FPN", 0)]


@pytest.fixture
def folder(make_study: Make) -> Path:
    """A study with evidence that says of which cells it is."""
    folder = make_study()
    write_origin(folder, BOTH)
    return folder


def change_manifest(folder: Path, variant: str, **changes: Any) -> None:
    path = folder / f"cells/{variant}/seed-0/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_evidence_of_the_cells_as_they_are_is_read(folder: Path) -> None:
    study = StoredStudy.read(folder)
    assert study.outdated_evidence == () and "comparison" in study.evidence_files
    assert fpnprobe.open(folder).compare("DC5", "FPN")["difference"].notna().all()


@pytest.mark.parametrize(
    "changes", [{"key": "1f" * 32, "state": "running"}, {"key": "1f" * 32}], ids=["going", "done"]
)
def test_a_cell_that_is_trained_anew_outdates_it(folder: Path, changes: dict[str, Any]) -> None:
    change_manifest(folder, "dc5", **changes)
    study = StoredStudy.read(folder)
    assert study.outdated_evidence == ("DC5 seed 0",) and study.evidence_files == {}
    with pytest.raises(FpnProbeError, match="no stored comparison"):
        fpnprobe.open(folder).compare("DC5", "FPN")
    assert {claim.verdict for claim in claims.judge(folder)} == {"not run"}
    result = build(folder)
    text = Path(result["markdown"]).read_text()
    assert "DC5 seed 0 was trained anew since the variants were compared" in text
    assert "AP_L (≥72 px) falls" not in result["headline"]
    assert json.loads(Path(result["claims"]).read_text())["claims"][0]["verdict"] == "not run"


def test_a_cell_that_is_gone_outdates_it(folder: Path) -> None:
    shutil.rmtree(folder / "cells/dc5/seed-0")
    (folder / "study.json").write_text(
        json.dumps(
            json.loads((folder / "study.json").read_text())
            | {"cells": [{"variant": v, "seed": s, "key": "00000000"} for v, s in BOTH]}
        )
    )
    assert StoredStudy.read(folder).outdated_evidence == ("DC5 seed 0",)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"DC5 seed 0": null}'])
def test_evidence_that_does_not_say_of_what_it_is_is_believed(
    folder: Path, content: str | None
) -> None:
    origin = folder / "evidence/cells.json"
    origin.unlink()
    if content is not None:
        origin.write_text(content)
    change_manifest(folder, "dc5", key="1f" * 32)
    assert StoredStudy.read(folder).outdated_evidence == ()
