import math
from typing import Any

import numpy as np
import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions import READY_MADE, Balance, Intervention, intervention

CUT = {"stages": "C2..C4", "route": "direct", "gain": 0.0}


def test_plain_data_survives_the_round_trip() -> None:
    data = {
        "gains": [{**CUT, "bucket": "small", "term": "roi", "begin": 5, "end": 9}],
        "balance": {"limit": 3.0},
    }
    first = Intervention.of(data)
    assert Intervention.of(first.to_data()) == first
    assert first.gains[0].stages == ("C2", "C3", "C4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gain": -1}, "finite number >= 0"),
        ({"gain": math.nan}, "finite number >= 0"),
        ({"gain": True}, "finite number >= 0"),
        ({"route": "sideways"}, "direct, auxiliary, deeper"),
        ({"stages": "C1"}, "C2..C5"),
        ({"stages": "C4..C2"}, "C2..C5"),
        ({"begin": 3, "end": 3}, "begin < end"),
        ({"bukket": "small"}, "expected the keys"),
        ({"stages": 5}, "C2..C5"),
        ({"stages": [5]}, "C2..C5"),
        ({"gain": 10**400}, "finite number"),
        ({"begin": True}, "begin < end"),
        ({"end": "5"}, "begin < end"),
        ({"bucket": 5}, "bucket 5 .* expected a name"),
        ({"term": None}, "term None .* expected a name"),
    ],
)
def test_bad_gains_are_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FpnProbeError, match=message):
        Intervention.of([{**CUT, **change}])


@pytest.mark.parametrize(
    "data",
    [
        "cut",
        {"gain": []},
        [3],
        {"balance": {"speed": 1}},
        {"balance": {"decay": float("nan")}},
        {"balance": {"decay": "much"}},
        {"balance": {"stages": 5}},
    ],
)
def test_bad_interventions_are_one_line(data: Any) -> None:
    with pytest.raises(FpnProbeError, match=r"expected|must be numbers"):
        Intervention.of(data)


def test_a_negative_gain_can_be_allowed() -> None:
    assert Intervention.of([{**CUT, "gain": -1}], allow_negative=True).gains[0].gain == -1.0


def test_a_negative_gain_says_so_in_its_data_and_a_cut_does_not() -> None:
    negative = Intervention.of([{**CUT, "gain": -1}], allow_negative=True)
    assert negative.to_data()["allow_negative"] is True
    assert "allow_negative" not in Intervention.of([CUT]).to_data()


def test_a_schedule_is_half_open() -> None:
    (gain,) = Intervention.of([{**CUT, "begin": 2, "end": 4}]).gains
    assert [gain.acts(i) for i in range(6)] == [False, False, True, True, False, False]


@pytest.mark.parametrize("name", READY_MADE)
def test_ready_made_ones_are_valid(name: str) -> None:
    assert Intervention.of(intervention(name).to_data()) == intervention(name)


def test_ready_made_ones_say_what_they_take_away() -> None:
    assert {name: repr(intervention(name)) for name in READY_MADE} == {
        "cut-direct": "Intervention(C2..C4 direct all x0)",
        "cut-deeper": "Intervention(C2..C4 deeper all x0)",
        "no-small-direct": "Intervention(C2..C4 direct small x0)",
        "no-large-direct": "Intervention(C2..C4 direct large x0)",
        "balanced": "Intervention(C2..C4 direct balanced)",
    }


def test_without_a_schedule_it_acts_from_the_first_iteration_to_the_last() -> None:
    (gain,) = Intervention.of([CUT]).gains
    assert gain.acts(0) and gain.acts(10**9)
    assert repr(gain).count("[") == 0  # no schedule is told


@pytest.mark.parametrize("edge", [{"decay": 0}, {"limit": 1}, {"begin": 0}])
def test_the_ends_of_what_balance_allows(edge: Any) -> None:
    assert Intervention.of({"balance": edge}).balance is not None


@pytest.mark.parametrize("beyond", [{"decay": 1}, {"decay": -0.1}, {"limit": 0.9}, {"begin": -1}])
def test_beyond_what_balance_allows(beyond: Any) -> None:
    with pytest.raises(FpnProbeError, match="expected 0 <= decay < 1, limit >= 1 and begin >= 0"):
        Intervention.of({"balance": beyond})


def test_the_defaults_of_balance() -> None:
    assert Balance() == Balance(("C2", "C3", "C4"), "direct", decay=0.95, limit=10.0, begin=50)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(FpnProbeError, match="did you mean cut-direct"):
        intervention("cut-dirct")


def test_balanced_gains_make_equal_shares_and_keep_the_norm() -> None:
    energy = np.array([9.0, 1.0, 0.5])
    after = Balance().gains(energy) ** 2 * energy
    assert np.allclose(after, energy.sum() / 3)


def test_balanced_gains_are_bounded_and_leave_what_never_came() -> None:
    gains = Balance(limit=2.0).gains(np.array([1.0, 1e-9, 0.0]))
    assert gains[2] == 1.0
    assert gains[1] / gains[0] <= 4.0
