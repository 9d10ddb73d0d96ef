"""A line that holds elsewhere has skill 1, the mean skill 0; nothing held back is looked at."""

import numpy as np
import pandas as pd
import pytest

from fpnprobe.evidence.held_back import COLUMNS, predict_held_back


def make_points(study: str, values: dict[str, float], changes: dict[str, float]) -> pd.DataFrame:
    place = {"ledger": "training", "measure": "index", "tap": "C2", "kind": "activation"}
    return pd.DataFrame(
        [
            {"study": study, "name": name, "variant": f"{study}: {name}", "seed": seed, **place,
             "route": "total", "metric": "AP_L", "value": value + shift,
             "change": changes[name] + shift}
            for name, value in values.items()
            for seed, shift in ((0, 0.01), (1, -0.01))
        ]
    )  # fmt: skip


def on_a_line(names: str, slope: float) -> tuple[dict[str, float], dict[str, float]]:
    values = {name: 0.1 * (at + 1) for at, name in enumerate(names)}
    return values, {name: slope * value - 0.2 for name, value in values.items()}


def test_the_same_line_foretells_and_another_one_misleads() -> None:
    fitted = make_points("one", *on_a_line("ABCDE", 2.0))
    same = predict_held_back(pd.concat([fitted, make_points("two", *on_a_line("AXYZ", 2.0))]))
    assert list(same.columns) == COLUMNS
    (row,) = same.to_dict("records")
    assert (row["fitted"], row["tested"]) == ("one", "two")
    assert (row["variants"], row["held_back"]) == (5, 3)  # A is no variant held back
    assert row["skill"] == pytest.approx(1) and row["rho_held_back"] == pytest.approx(1)
    assert row["chosen"]

    values, changes = on_a_line("VWXYZ", 2.0)
    mirrored = {name: 0.8 - change for name, change in changes.items()}  # 0.4 is their mean
    other = predict_held_back(pd.concat([fitted, make_points("two", values, mirrored)]))
    assert other["skill"].iloc[0] == pytest.approx(-3)
    assert other["high"].iloc[0] < 0


def test_the_mean_of_the_fitted_has_no_skill() -> None:
    values = {name: float(at) for at, name in enumerate("ABCDE")}
    changes = dict(zip("ABCDE", [1.0, -1.0, 0.0, -1.0, 1.0], strict=True))  # slope 0
    held_back = make_points("two", *on_a_line("XYZ", 1.0))
    table = predict_held_back(pd.concat([make_points("one", values, changes), held_back]))
    assert table["skill"].iloc[0] == pytest.approx(0, abs=1e-9)


def test_smaller_changes_elsewhere_are_no_skill() -> None:
    values, changes = on_a_line("ABCDE", 2.0)  # mean change 0.4; the line says 0.2 for all of XYZ
    held_back = make_points("two", dict.fromkeys("XYZ", 0.2), {"X": 0.0, "Y": 0.1, "Z": -0.1})
    table = predict_held_back(pd.concat([make_points("one", values, changes), held_back]))
    # Against the mean alone it would have 1 - 0.14 / 0.50; no change at all misses by 0.02.
    assert table["skill"].iloc[0] == pytest.approx(1 - 0.14 / 0.02)


def test_too_few_variants_are_not_judged() -> None:
    few = make_points("one", *on_a_line("ABCD", 1.0))
    enough = make_points("one", *on_a_line("ABCDE", 1.0))
    pair = make_points("two", *on_a_line("XY", 1.0))
    known = make_points("two", *on_a_line("ABX", 1.0))
    three = make_points("two", *on_a_line("XYZ", 1.0))
    assert predict_held_back(pd.concat([few, three])).empty
    assert predict_held_back(pd.concat([enough, pair])).empty
    assert predict_held_back(enough).empty
    (row,) = predict_held_back(pd.concat([enough, known])).to_dict("records")
    assert (row["fresh"], row["held_back"]) == (False, 3)  # the same variants on other data


def test_the_measure_is_chosen_on_the_fitted_alone() -> None:
    weak_values, weak_changes = on_a_line("ABCDE", 1.0)
    weak_changes |= {"A": 0.9}  # a weaker correlation among the fitted ...
    strong = make_points("one", *on_a_line("ABCDE", 1.0))
    weak = make_points("one", weak_values, weak_changes).assign(tap="C3")
    held_back = make_points("two", *on_a_line("XYZ", 1.0))  # ... and a better one held back
    noise = held_back.assign(change=np.tile([0.3, -0.3, 0.1], 2))
    table = predict_held_back(pd.concat([strong, weak, noise, held_back.assign(tap="C3")]))
    assert table.set_index("tap")["chosen"].to_dict() == {"C2": True, "C3": False}


def test_a_rho_of_more_variants_is_clearer_than_a_higher_one_of_few() -> None:
    values, changes = on_a_line("ABCDEFGHIJ", 1.0)
    many = make_points("one", values, changes | {"A": changes["D"], "D": changes["A"]})
    first = {name: values[name] for name in "ABCDE"}
    few = make_points("one", first, changes | {"A": changes["B"], "B": changes["A"]})
    held_back = make_points("two", *on_a_line("XYZ", 1.0))
    points = [few.assign(tap="C3"), many, held_back, held_back.assign(tap="C3")]
    table = predict_held_back(pd.concat(points)).set_index("tap")
    assert table["rho"].to_dict() == pytest.approx({"C2": 0.891, "C3": 0.9}, abs=1e-3)
    assert table["chosen"].to_dict() == {"C2": True, "C3": False}


def test_where_nothing_changed_there_is_no_skill_and_no_interval() -> None:
    values, changes = on_a_line("XYZ", 1.0)
    fitted = make_points("one", *on_a_line("ABCDE", 2.0))
    still = make_points("two", values, dict.fromkeys(changes, 0.0)).assign(change=0.0)
    (row,) = predict_held_back(pd.concat([fitted, still])).to_dict("records")
    assert np.isnan([row["skill"], row["low"], row["high"]]).all()
