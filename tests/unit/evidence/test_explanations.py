"""Twins of interventions, and the written rule that judges the paper's two explanations."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence import explanations
from fpnprobe.evidence.controls import intervened
from fpnprobe.evidence.finished_cells import read_study
from fpnprobe.interventions import intervention

CUT = {"stages": "C2..C4", "route": "direct", "gain": 0.0}


def folder(
    root: Path,
    rows: list[tuple[str, str, str, float, float, float]],
    *,
    seeds: int = 3,
    **study: Any,
) -> Path:
    """A study with a comparison table; rows are its first six columns."""
    (root / "evidence").mkdir(parents=True)
    content = {"name": "toy", "variants": ["FPN", "FPN~cut-direct", "FPN~no-small-direct"], **study}
    (root / "study.json").write_text(json.dumps(content))
    nan = float("nan")
    table = [
        {"variant": v, "baseline": b, "metric": m, "seed": "all", "source": source,
         "difference": d, "low": low if known else nan, "high": high if known else nan,
         "n_seeds": seeds}
        for v, b, m, d, low, high in rows
        for source in ("images", "seeds", "both")
        for known in [source == "images" or seeds > 1]
    ]  # fmt: skip
    columns = ["variant", "baseline", "metric", "seed", "source", "difference", "low", "high",
               "n_seeds"]  # fmt: skip
    pd.DataFrame(table, columns=columns).to_parquet(root / "evidence" / "comparison.parquet")
    return root


def judged(root: Path) -> dict[str, explanations.Cause]:
    return {each.prediction: each for each in explanations.judge(root)}


def test_verdicts_follow_the_sign_that_is_predicted(tmp_path: Path) -> None:
    found = judged(
        folder(
            tmp_path,
            [
                ("FPN~cut-direct", "FPN", "AP", -0.2, -0.25, -0.15),
                ("FPN~cut-direct", "FPN", "AP_L", 0.5, 0.4, 0.6),
                ("FPN~no-small-direct", "FPN", "AP", 0.5, 0.4, 0.6),
                ("FPN~no-small-direct", "FPN", "AP_L", -0.03, -0.05, -0.01),
            ],
        )
    )
    cut, small = found["cut-direct lowers AP"], found["no-small-direct raises AP_L"]
    assert (cut.verdict, cut.covers, cut.seeds) == ("reproduced", "both", 3)
    assert (cut.difference, cut.low, cut.high) == pytest.approx((-20, -25, -15))
    assert small.verdict == "contradicted"
    assert small.as_json()["difference"] == pytest.approx(-3)


@pytest.mark.parametrize(
    ("low", "high", "seeds", "expected"),
    [(0.01, 0.05, 3, "reproduced"), (-0.01, 0.05, 3, "undecided"), (0.01, 0.05, 1, "undecided")],
)
def test_an_interval_that_holds_zero_or_one_seed_decides_nothing(
    tmp_path: Path, low: float, high: float, seeds: int, expected: str
) -> None:
    rows = [("FPN~no-small-direct", "FPN", "AP_L", 0.02, low, high)]
    found = judged(folder(tmp_path, rows, seeds=seeds))["no-small-direct raises AP_L"]
    assert found.verdict == expected
    assert ("one seed" in found.note) == (seeds == 1)


def test_what_was_not_run_says_why(tmp_path: Path) -> None:
    found = judged(folder(tmp_path / "a", [], variants=["FPN", "FPN~cut-direct"]))
    assert {each.verdict for each in found.values()} == {"not run"}
    assert "no finished cells of FPN~cut-direct and FPN" in found["cut-direct lowers AP"].note
    assert "has no no-small-direct" in found["no-small-direct raises AP_L"].note
    assert found["cut-direct lowers AP"].as_json()["low"] is None
    found = judged(folder(tmp_path / "b", [], variants=["DC5", "FPN~cut-direct"]))
    assert found["cut-direct lowers AP"].note == "the study has no untouched twin"


def test_each_pyramid_is_judged_on_its_own(tmp_path: Path) -> None:
    rows = [
        ("FPN~cut-direct", "FPN", "AP", -0.2, -0.25, -0.15),
        ("FPN-CFG1~cut-direct", "FPN-CFG1", "AP", 0.01, -0.1, 0.1),
    ]
    names = ["FPN", "FPN-CFG1", "FPN~cut-direct", "FPN-CFG1~cut-direct"]
    found = [c for c in explanations.judge(folder(tmp_path, rows, variants=names)) if c.variant]
    assert [(c.twin, c.verdict) for c in found] == [
        ("FPN", "reproduced"),
        ("FPN-CFG1", "undecided"),
    ]


def test_twins_are_told_by_what_is_built_not_by_names() -> None:
    wide = {"detector": {"width": 32}}
    content = {
        "variants": ["FPN", "wide", "mine", "wide cut", "lone"],
        "study": {
            "variants": [
                {"name": "FPN"},
                {"name": "wide", "build": "FPN", **wide},
                {"name": "mine", "build": "FPN", "intervention": {"gains": [CUT]}},
                {"name": "wide cut", "build": "FPN~cut-deeper", **wide},
                {"name": "DC5~cut-deeper"},
            ]
        },
    }
    found = intervened(content)
    assert {each.variant: each.twin for each in found} == {
        "mine": "FPN",
        "wide cut": "wide",
        "DC5~cut-deeper": "",
    }
    assert found[0].is_ready_made("cut-direct")
    assert found[1].change == intervention("cut-deeper")


def test_a_twin_that_comes_later_is_still_the_baseline(tmp_path: Path) -> None:
    variants = [{"name": "mine", "build": "FPN", "intervention": {"gains": [CUT]}}, {"name": "FPN"}]
    root = folder(tmp_path, [], variants=["mine", "FPN"], study={"variants": variants})
    assert read_study(root).pairs() == [("mine", "FPN")]


def test_a_folder_without_evidence_or_with_a_broken_one(tmp_path: Path) -> None:
    root = folder(tmp_path, [])
    (root / "evidence" / "comparison.parquet").write_bytes(b"no")
    with pytest.raises(FpnProbeError, match="cannot read"):
        explanations.judge(root)
    (root / "evidence" / "comparison.parquet").unlink()
    assert {each.verdict for each in explanations.judge(root)} == {"not run"}
