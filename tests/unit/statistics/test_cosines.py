"""The cosine from lengths is that of the vectors behind them; that of sizes is of parameters."""

import numpy as np
import pandas as pd
import pytest

from fpnprobe.evaluation.ground_truth import Floats
from fpnprobe.statistics import route_cosines, size_cosines


def ledger(direct: Floats, deeper: Floats, state: str = "measured") -> pd.DataFrame:
    """Rows of one stage and one bucket, a sample for each row of the arrays."""
    vectors = {"direct": direct, "deeper": deeper, "total": direct + deeper}
    rows = [
        {"iteration": at, "route": route, "l2": float(np.linalg.norm(vector))}
        for route, sample in vectors.items()
        for at, vector in enumerate(sample)
    ]
    usual = {"tap": "C2", "bucket": "large", "kind": "activation", "term": "all"}
    return pd.DataFrame([{**row, **usual, "state": state} for row in rows])


def test_it_is_the_cosine_of_the_vectors_of_all_samples() -> None:
    random = np.random.default_rng(0)
    direct, deeper = random.normal(size=(2, 5, 7))
    found = route_cosines(ledger(direct, deeper))
    expected = (direct * deeper).sum() / np.sqrt((direct**2).sum() * (deeper**2).sum())
    assert found[["tap", "bucket"]].values.tolist() == [["C2", "large"]]
    assert found["cosine"][0] == pytest.approx(expected)


def test_opposite_routes_cancel() -> None:
    direct = np.ones((2, 3))
    assert route_cosines(ledger(direct, -0.5 * direct))["cosine"].tolist() == pytest.approx([-1])


def test_a_third_route_or_an_empty_one_has_none() -> None:
    direct, deeper = np.ones((2, 3)), np.ones((2, 3))
    assert route_cosines(ledger(0 * direct, deeper)).empty
    third = ledger(direct, deeper).query("route == 'total'").assign(route="auxiliary")
    assert route_cosines(pd.concat([ledger(direct, deeper), third])).empty
    assert route_cosines(ledger(direct, deeper, state="unsound")).empty


def test_two_sizes_meet_in_the_parameters() -> None:
    rows = [
        ("C2", "parameter", "small", "large", 0.5),
        ("C2", "parameter", "small", "large", -0.1),
        ("C2", "activation", "small", "large", 1.0),
        ("C2", "parameter", "small", "medium", 1.0),
        ("C2", "parameter", "large", "large", 1.0),
        ("C3", "parameter", "large", "small", np.nan),
    ]
    frame = pd.DataFrame(rows, columns=["tap", "kind", "bucket_a", "bucket_b", "cosine"])
    found = size_cosines(frame, "large", "small")
    assert found["tap"].tolist() == ["C2"] and found["cosine"].tolist() == pytest.approx([0.2])
