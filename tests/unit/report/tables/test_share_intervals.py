"""One number for a share of a stage's gradient: which measurement it is, and its interval."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fpnprobe.report.sections import summary
from fpnprobe.report.tables import share_intervals as intervals
from fpnprobe.report.tables.gradient_shares import stage_shares
from fpnprobe.report.tables.read_studies import read

PLACE = ["variant", "tap", "route", "bucket"]


def test_the_same_images_are_what_counts_where_every_variant_has_them(
    make_study: Callable[..., Path],
) -> None:
    stored = read([make_study(seeds=(0, 1), kept=(100, 500))])
    assert stored.measures_ends
    assert intervals.measured_on(stored) == "the same images, end of training"
    last = stored.kept[(stored.kept["trained"] == 500) & (stored.kept["quantity"] == "share")]
    wanted = last.groupby(PLACE)["value"].mean()
    found = intervals.share_intervals(stored).set_index(PLACE)["share"].dropna()
    pd.testing.assert_series_equal(
        found.sort_index(), wanted[found.index].sort_index(), check_names=False
    )


def test_one_variant_without_them_and_all_are_shown_while_training(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(kept=(500,))
    for file in (folder / "cells" / "fpn").rglob("offline/*/*.parquet"):
        file.unlink()
    stored = read([folder])
    assert not stored.measures_ends
    assert intervals.measured_on(stored) == "while training"
    found = intervals.share_intervals(stored)
    assert len(found) == len(stage_shares(stored))


def test_intervals_hold_the_share_and_are_within_0_and_1(make_study: Callable[..., Path]) -> None:
    table = intervals.share_intervals(read([make_study(seeds=(0, 1, 2))]))
    known = table.dropna(subset=["share"])
    assert len(known)
    assert (known["low"] <= known["share"] + 1e-12).all()
    assert (known["high"] >= known["share"] - 1e-12).all()
    bounds = known[["low", "high"]].to_numpy(float)
    assert bounds.min() >= 0
    assert bounds.max() <= 1
    assert set(table["seeds"]) == {3}
    assert set(table["samples"]) == {20}


def test_three_samples_are_no_interval(make_study: Callable[..., Path]) -> None:
    stored = read([make_study(iterations=75, interval=25)])
    table = intervals.share_intervals(stored)
    assert table["share"].notna().any()
    assert table["low"].isna().all()
    assert "95 %" not in summary.numbers(stored)[2].detail


def test_coverage_of_a_share_over_seeds_and_samples() -> None:
    """Seeds and samples of known spread: the interval holds the truth about as often as it says."""
    rng = np.random.default_rng(0)
    hits, repetitions = 0, 150
    for _ in range(repetitions):
        rows, values = [], []
        for seed in range(3):
            shift = rng.normal(0, 0.2)
            energy = rng.gamma(8, 1 / 8, (40, 2)) * np.exp([shift, -shift])
            values.append(
                {"seed": seed, "tap": "C2", "route": "total", "bucket": "large",
                 "share": energy[:, 0].sum() / energy.sum()}
            )  # fmt: skip
            rows += [
                {"seed": seed, "tap": "C2", "route": "total", "bucket": bucket,
                 "iteration": at, "square": energy[at, place], "points": 1}
                for at in range(40)
                for place, bucket in enumerate(("large", "small"))
            ]  # fmt: skip
        found = intervals._of_variant(
            pd.DataFrame(rows), pd.DataFrame(values), same_images=False, resamples=200
        )
        (low, high), *_ = found.loc[found["bucket"] == "large", ["low", "high"]].to_numpy(float)
        hits += int(low <= 0.5 <= high)
    assert hits / repetitions == pytest.approx(0.96, abs=0.04)
