"""Verdicts on directions, p values that agree with intervals, and Holm's correction."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpnprobe.evidence.verdicts import (
    MeasuredDifference,
    direction,
    find_difference,
    holm,
    judge_difference,
    judge_interval,
)


def measured(difference: float, low: float, high: float, seeds: int = 3) -> MeasuredDifference:
    return MeasuredDifference(difference, low, high, "both", seeds)


@pytest.mark.parametrize(("value", "side"), [(0.5, 0), (-0.5, 0), (0.6, 1), (-2, -1), (0, 0)])
def test_half_a_point_is_no_change(value: float, side: int) -> None:
    assert direction(value) == side


def test_a_gain_where_none_is_printed_contradicts() -> None:
    assert judge_interval(predicted=0, low=0.6, high=4.0) == "contradicted"
    assert judge_interval(predicted=0, low=0.2, high=4.0) == "undecided"


@given(st.floats(-9, 9), st.floats(0.01, 5), st.floats(0.01, 5), st.integers(2, 9))
def test_p_is_below_a_twentieth_where_the_interval_excludes_no_difference(
    difference: float, below: float, above: float, seeds: int
) -> None:
    one = measured(difference, difference - below, difference + above, seeds)
    toward = below if difference > 0 else above
    if abs(abs(difference) - toward) > 1e-6:
        assert (one.p_value < 0.05) == (one.low > 0 or one.high < 0)


def test_one_seed_has_no_p_and_no_verdict() -> None:
    one = measured(2, 1, 3, seeds=1)
    assert math.isnan(one.p_value)
    assert judge_difference(one, predicted=1, metric="AP")[0] == "undecided"
    nan = measured(math.nan, math.nan, math.nan)
    assert judge_difference(nan, predicted=1, metric="AP_L") == (
        "not run", "AP_L could not be evaluated",
    )  # fmt: skip


def test_holm_against_its_definition() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_a_difference_is_found_either_way_round() -> None:
    row = {"variant": "DC5", "baseline": "FPN", "metric": "AP", "seed": "all", "n_seeds": 3,
           "difference": -0.04, "low": -0.05, "high": -0.02}  # fmt: skip
    table = pd.DataFrame([{**row, "source": source} for source in ("images", "seeds", "both")])
    found = find_difference(table, variant="FPN", baseline="DC5", metric="AP")
    assert found == MeasuredDifference(4.0, 2.0, 5.0, "both", 3)
    assert find_difference(table, variant="FPN", baseline="DC5", metric="AP_S") is None
    assert find_difference(pd.DataFrame(), variant="a", baseline="b", metric="AP") is None
