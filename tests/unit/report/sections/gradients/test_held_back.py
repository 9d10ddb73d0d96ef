"""The table of predictions: what is said is the row that was chosen; one study alone has none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.report.sections.gradients import held_back
from fpnprobe.report.tables.read_studies import read
from fpnprobe.report.tables.stored import Stored

Make = Callable[..., Path]
VARIANTS = ("DC5", "FPN", "FPN-Aux", "FPN-CFG1", "FPN-CFG2", "FPN-CFG3")
OTHERS = ("PAFPN", "BiFPN", "SiMo")


def with_points(stored: Stored) -> Stored:
    """AP_L falls with the index in the first study, and does so in the second one."""
    place = {"ledger": "training", "measure": "index", "tap": "C2", "kind": "activation"}
    rows = [
        {"study": cell.study, "variant": cell.variant, "seed": cell.seed, **place,
         "route": "direct", "metric": "AP_L", "value": 0.1 * at, "change": -0.2 * at}
        for at, cell in enumerate(stored.cells)
    ]  # fmt: skip
    return replace(stored, evidence={**stored.evidence, "association_points": pd.DataFrame(rows)})


def test_it_tells_the_chosen_row(make_study: Make) -> None:
    folders = [make_study("one", variants=VARIANTS), make_study("two", variants=OTHERS)]
    block: Any = held_back.table(with_points(read(folders)))[0]
    assert block.shown == len(block.frame) == 1
    row = block.frame.iloc[0]
    assert (row["variants"], row["held_back"]) == (6, 3)
    assert f"skill {row['skill']:.2f}" in block.caption and "it foretells them" in block.caption
    assert "of the 3 variants that only two has" in block.caption


def test_one_study_has_no_other_to_foretell(make_study: Make) -> None:
    assert held_back.table(with_points(read([make_study("one", variants=VARIANTS)]))) == []
