"""Shares and index against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import GradientRecord, Ledger
from fpnprobe.statistics import all_object_index, evenness, gradient_shares

OBJECTS = ("small", "medium", "large")


def record(
    bucket: str,
    l2: float,
    *,
    iteration: int = 0,
    n_objects: int = 1,
    term: str = "all",
    tap: str = "C2",
    route: str = "total",
    state: str = "measured",
) -> GradientRecord:
    return GradientRecord(
        iteration=iteration, epoch=0, tap=tap, level=int(tap[1]), kind="activation", route=route,
        bucket=bucket, term=term, l2=l2, share=0.0, n_objects=n_objects, n_rows=1, state=state,
    )  # fmt: skip


def frame(*records: GradientRecord) -> pd.DataFrame:
    return Ledger.of(records, study="s", variant="FPN", seed=1).frame


def shares(*records: GradientRecord) -> dict[str, float]:
    table = gradient_shares(frame(*records))
    return {str(k): float(v) for k, v in table.set_index("bucket")["share"].items()}


def index(*records: GradientRecord) -> float:
    table = all_object_index(frame(*records))
    assert len(table) == 1
    return float(table["index"].iloc[0])


def test_a_size_without_any_object_has_no_share() -> None:
    table = gradient_shares(
        frame(
            record("small", 3.0), record("medium", 0.0),
            record("large", 0.0, n_objects=0), record("large", 0.0, n_objects=0, iteration=1),
        )
    ).set_index("bucket")  # fmt: skip
    assert np.isnan(table["share"]["large"])
    assert table["state"].to_dict() == {
        "small": "measured", "medium": "measured", "large": "absent"
    }  # fmt: skip
    assert (table["share"]["small"], table["share"]["medium"]) == (1, 0)
    uncounted = shares(record("small", 3.0), record("large", 0.0, n_objects=-1))
    assert uncounted["large"] == 0


def test_share_is_of_squared_root_mean_squares_without_background() -> None:
    found = shares(
        record("small", 3.0), record("small", 1.0, iteration=1),
        record("medium", 2.0), record("medium", 1.0, iteration=1),
        record("large", 0.0), record("large", 0.0, iteration=1),
        record("background", 50.0), record("all", 60.0), record("small", 9.0, term="rpn"),
    )  # fmt: skip
    assert found["small"] == pytest.approx(5 / 7.5)
    assert found["medium"] == pytest.approx(2.5 / 7.5)
    assert found["large"] == 0
    assert np.isnan(found["background"])
    assert set(found) == {*OBJECTS, "background"}


def test_l2_is_the_root_mean_square() -> None:
    table = gradient_shares(frame(record("small", 3.0), record("small", 1.0, iteration=1)))
    assert table["l2"].iloc[0] == pytest.approx(np.sqrt(5))
    assert list(table.columns) == [
        "study", "variant", "seed", "tap", "kind", "route", "bucket", "l2", "share", "state",
    ]  # fmt: skip


def test_frozen_is_nan_and_says_so() -> None:
    table = gradient_shares(frame(*(record(b, np.nan, state="frozen") for b in OBJECTS)))
    assert table["share"].isna().all()
    assert (table["state"] == "frozen").all()


def test_a_sample_that_is_not_finite_does_not_count() -> None:
    found = shares(
        *(record(b, 2.0) for b in OBJECTS),
        record("small", np.inf, iteration=1, state="nonfinite"),
    )
    assert found == pytest.approx(dict.fromkeys(OBJECTS, 1 / 3))


def test_taps_and_routes_do_not_mix() -> None:
    table = gradient_shares(
        frame(
            record("small", 1.0),
            record("large", 1.0),
            record("small", 1.0, route="direct"),
            record("large", 3.0, tap="C3"),
            record("small", 1.0, tap="C3"),
        )
    )
    found = table.set_index(["tap", "route", "bucket"])["share"]
    assert found["C2", "total", "small"] == 0.5
    assert found["C2", "direct", "small"] == 1
    assert found["C3", "total", "large"] == pytest.approx(0.9)


def test_index_is_one_when_every_object_counts_alike() -> None:
    found = index(
        record("small", 8.0, n_objects=8), record("medium", 2.0, n_objects=2),
        record("large", 1.0, n_objects=1), record("background", 99.0, n_objects=0),
    )  # fmt: skip
    assert found == pytest.approx(1)


def test_index_by_the_formula() -> None:
    energy = np.array([(3 / 2) ** 2, (1 / 4) ** 2, (2 / 1) ** 2])
    p = energy / energy.sum()
    found = index(
        record("small", 3.0, n_objects=2), record("medium", 1.0, n_objects=4),
        record("large", 2.0, n_objects=1),
    )  # fmt: skip
    assert found == pytest.approx(np.exp(-(p * np.log(p)).sum()) / 3)


def test_iterations_without_objects_of_a_bucket_do_not_enter() -> None:
    once = [record(b, 1.0) for b in OBJECTS]
    again = [record("small", 1.0, iteration=1), record("large", 0.0, iteration=1, n_objects=0)]
    again.append(record("medium", 1.0, iteration=1))
    assert index(*once, *again) == pytest.approx(1)


def test_a_bucket_that_never_has_objects_leaves_no_index() -> None:
    assert np.isnan(index(record("small", 1.0), record("large", 0.0, n_objects=0)))


def test_a_route_that_carries_nothing_has_no_index() -> None:
    assert np.isnan(index(*(record(b, 0.0, route="direct") for b in OBJECTS)))


def test_categorical_columns_work_too() -> None:
    table = frame(*(record(b, 1.0) for b in OBJECTS))
    narrow = table.astype(dict.fromkeys(("tap", "route", "bucket", "variant"), "category"))
    assert float(all_object_index(narrow)["index"].iloc[0]) == pytest.approx(1)
    assert gradient_shares(narrow)["share"].tolist() == pytest.approx([1 / 3] * 3)


def test_a_missing_column_raises() -> None:
    with pytest.raises(FpnProbeError, match="lacks the columns l2"):
        gradient_shares(frame(record("small", 1.0)).drop(columns="l2"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=6))
def test_evenness_stays_in_its_range(energy: list[float]) -> None:
    found = evenness(energy)
    if sum(energy) == 0:
        assert np.isnan(found)
        return
    assert 1 / len(energy) - 1e-9 <= found <= 1 + 1e-9
    assert found == pytest.approx(evenness(energy[::-1]))
    assert found == pytest.approx(evenness([3 * e for e in energy]), rel=1e-6)
