"""The section on causes: verdicts, changed paths, effects, and what the report says first."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fpnprobe.report.build import build
from fpnprobe.report.compose import compose
from fpnprobe.report.page.content import Section, Table, Text
from fpnprobe.report.sections import interventions, summary
from fpnprobe.report.sections.interventions import intervention_effects, intervention_paths
from fpnprobe.report.tables.read_studies import read
from fpnprobe.report.tables.stored import Stored

Make = Callable[..., Path]
VARIANTS = ("FPN", "FPN~cut-direct", "FPN~no-small-direct")


@pytest.fixture
def folder(make_study: Make) -> Path:
    root = make_study(variants=VARIANTS, seeds=(0, 1))
    file = root / "evidence" / "comparison.parquet"
    table = pd.read_parquet(file)
    move = {"FPN~cut-direct": -0.2, "FPN~no-small-direct": 0.01}
    shift = [
        move.get(v, 0.0) - move.get(b, 0.0)
        for v, b in zip(table["variant"], table["baseline"], strict=True)
    ]
    table = table.assign(**{k: table[k] + shift for k in ("b", "difference", "low", "high")})
    single = [
        {**row, "seed": str(seed), "difference": row["difference"] + 0.01 * (2 * seed - 1)}
        for row in table[table["source"] == "images"].to_dict("records")
        for seed in (0, 1)
    ]
    pd.concat([table, pd.DataFrame(single)]).to_parquet(file)
    return root


def report(folder: Path) -> tuple[Stored, list[dict[str, Any]]]:
    stored = read([folder])
    return stored, interventions.judged([folder], stored.holes)


def test_effects_are_those_of_the_evidence(folder: Path) -> None:
    stored, _ = report(folder)
    table = intervention_effects.effects(stored).set_index(["variant", "metric"])
    assert len(table) == 8
    row: Any = table.loc[("FPN~cut-direct", "AP_L")]
    assert row["twin"] == "FPN"
    assert row["difference"] == pytest.approx(-20)
    assert (row["low"], row["high"]) == pytest.approx((-25, -15))
    assert (row["low_images"], row["high_images"]) == pytest.approx((-23, -17))
    assert (row["low_seeds"], row["high_seeds"]) == pytest.approx((-24, -16))
    assert row["seeds"] == pytest.approx((-21, -19))
    assert row["ap"] - row["twin_ap"] == pytest.approx(-20)


def test_the_section_has_verdicts_paths_and_effects(folder: Path) -> None:
    stored, verdicts = report(folder)
    section = interventions.section(stored, verdicts)
    assert isinstance(section, Section)
    tables = {b.name: b for b in section.blocks if not isinstance(b, Text)}
    assert list(tables) == ["explanations", "changed-paths", "effects", "effects-table"]
    explained = tables["explanations"]
    assert isinstance(explained, Table)
    rows = explained.rows()
    assert rows[0][-1] == "✓ reproduced"
    assert rows[0][4:6] == ["−20.0", "−25.0 to −15.0"]
    assert rows[1][-1] == "? undecided"
    assert "cut-direct AP −20.0" in tables["effects"].caption
    numbers = tables["effects-table"]
    assert isinstance(numbers, Table)
    assert numbers.rows()[0][5:] == [
        "−20.0",
        "−25.0 to −15.0",
        "−23.0 to −17.0",
        "−24.0 to −16.0",
        "2",
    ]


def test_first_lines_say_that_a_variant_is_an_intervention(folder: Path) -> None:
    stored, verdicts = report(folder)
    found = compose(stored, [], verdicts)
    first = "FPN works because it shortens back-propagation: reproduced (FPN~cut-direct changes AP"
    assert found.answer.startswith(first)
    assert "FPN~cut-direct, FPN~no-small-direct are interventions" in found.answer
    names = [section.name for section in found.sections]
    assert names.index("causes") < names.index("gradients")
    gradients = found.sections[names.index("gradients")].blocks[0]
    assert isinstance(gradients, Text)
    assert "before the change" in gradients.body


def test_without_interventions_nothing_is_said(make_study: Make) -> None:
    stored, verdicts = report(make_study())
    assert interventions.section(stored, verdicts) is None
    assert compose(stored, [], verdicts).answer == summary.answer(stored, [])
    assert {each["verdict"] for each in verdicts} == {"not run"}


def test_no_twin_and_no_evidence_are_named(make_study: Make) -> None:
    stored, verdicts = report(make_study(variants=("DC5", "FPN~cut-direct"), evidence=False))
    section = interventions.section(stored, verdicts)
    assert section is not None
    holes = [b.body for b in section.blocks if isinstance(b, Text) and b.tone == "hole"]
    assert holes[0] == "Without an untouched twin: FPN~cut-direct."
    assert holes[1].startswith("Not measured")
    opening = interventions.opening(stored, verdicts, "Not answered.")
    assert opening.startswith("FPN~cut-direct is an intervention")
    assert opening.endswith("Not answered.")


def test_two_studies_keep_their_own_twins(folder: Path, make_study: Make) -> None:
    other = make_study("other", variants=("FPN", "FPN~balanced"), study={"name": "other"})
    stored = read([folder, other])
    pairs = {each.variant: each.twin for each in intervention_paths.changed(stored)}
    assert pairs["other: FPN~balanced"] == "other: FPN"
    assert pairs["quickstart: FPN~cut-direct"] == "quickstart: FPN"
    verdicts = interventions.judged([folder, other], stored.holes)
    assert [each["verdict"] for each in verdicts] == ["reproduced", "undecided"]


def test_files_hold_the_verdicts(folder: Path) -> None:
    written = build(folder)
    claims = json.loads(Path(written["claims"]).read_text())
    assert [c["verdict"] for c in claims["causes"]["claims"]] == ["reproduced", "undecided"]
    assert "hierarchical bootstrap" in claims["causes"]["rule"]
    page = Path(written["html"]).read_text()
    assert "Which path was changed" in page
    assert "What AP does" in page
    assert (folder / "figures" / "changed-paths.svg").exists()
    frame = pd.read_csv(folder / "tables" / "effects.csv")
    assert set(frame["variant"]) == set(VARIANTS[1:])
