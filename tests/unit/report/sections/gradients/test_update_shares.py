"""The table of update shares tells the ledger's shares of the gradient and of the step."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fpnprobe.report.page.content import Table
from fpnprobe.report.sections.gradients import update_shares
from fpnprobe.report.tables.read_studies import read
from fpnprobe.report.tables.stored import Stored

Make = Callable[..., Path]


def with_kinds(stored: Stored, **shift: float) -> Stored:
    """The shares at the activations as those of other kinds, `large` moved by so much."""
    gradients = stored.gradients
    frame = gradients.shares[gradients.shares["kind"] == "activation"]
    kinds = [
        frame.assign(
            kind=kind, share=frame["share"] + by * (frame["bucket"] == "large").astype(float)
        )
        for kind, by in shift.items()
    ]
    return replace(stored, gradients=replace(gradients, shares=pd.concat([frame, *kinds])))


def test_both_shares_are_those_of_the_ledger(make_study: Make) -> None:
    stored = with_kinds(read([make_study(seeds=(0, 1))]), parameter=0.0, update=0.25)
    block: Any = update_shares.table(stored)[0]
    assert isinstance(block, Table)
    assert "large objects" in block.caption and "+25 points" in block.caption
    shares = stored.gradients.shares
    there = (shares["kind"] == "parameter") & (shares["bucket"] == "large")
    there &= (shares["route"] == "total") & (shares["term"] == "all")
    means = 100 * shares[there].groupby(["variant", "tap"])["share"].mean()
    for row in block.frame.to_dict("records"):
        expected = means[row["variant"], row["tap"]] + (25 if row["part"] == "step" else 0)
        assert row["large"] == pytest.approx(expected)


def test_without_steps_there_is_no_table(make_study: Make) -> None:
    assert update_shares.table(with_kinds(read([make_study()]), parameter=0.0)) == []
