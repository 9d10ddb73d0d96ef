"""Intervals against closed forms, scipy, and simulations with a known truth."""

import numpy as np
import pytest
from scipy import stats

from fpnprobe.errors import FpnProbeError
from fpnprobe.statistics import (
    hierarchical_samples,
    percentile_interval,
    rank_correlation,
    resample_counts,
    t_interval,
)


def test_t_interval_is_students() -> None:
    values = [0.31, 0.35, 0.30, 0.38]
    found = t_interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(
        [found.mean, found.sd, found.low, found.high],
        [np.mean(values), np.std(values, ddof=1), low, high],
        rtol=1e-12,
    )


def test_t_interval_of_one_value_has_no_bounds() -> None:
    found = t_interval([0.3, float("nan")])
    assert (found.n, found.mean) == (1, 0.3)
    assert np.isnan([found.sd, found.low, found.high]).all()
    assert np.isnan(t_interval([]).mean)


def test_percentiles_leave_out_what_could_not_be_computed() -> None:
    assert percentile_interval([np.nan, 1.0, 1.0]) == (1.0, 1.0)
    assert np.isnan(percentile_interval([np.nan])).all()


def test_few_items_take_percentiles_farther_out() -> None:
    """Of ten items the interval is wider by sqrt(10/9) and Student's t, of many it is plain."""
    drawn = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    widths = [np.diff(percentile_interval(drawn, items=n))[0] for n in (10, 10**6)]
    assert widths[1] == pytest.approx(2 * stats.norm.ppf(0.975), rel=1e-3)
    assert widths[0] == pytest.approx(2 * stats.t.ppf(0.975, 9) * np.sqrt(10 / 9), rel=5e-3)
    assert percentile_interval([1.0, 2.0, 3.0], items=1) == (1.0, 3.0)


def test_resamples_draw_every_item_once_on_average() -> None:
    counts = resample_counts(50, resamples=400, seed=3)
    assert (counts.sum(axis=1) == 50).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.25)
    np.testing.assert_array_equal(counts, resample_counts(50, resamples=400, seed=3))
    assert (counts != resample_counts(50, resamples=400, seed=4)).any()


def test_without_image_error_both_is_the_t_interval() -> None:
    values = np.array([0.3, 0.34, 0.35])
    samples = np.repeat(values[:, None], 4000, axis=1)
    found = percentile_interval(hierarchical_samples(values, samples))
    expected = t_interval(values)
    np.testing.assert_allclose(found, (expected.low, expected.high), atol=1e-3)


def test_without_spread_over_seeds_both_is_the_image_interval() -> None:
    samples = np.random.default_rng(0).normal(0.3, 0.02, (1, 1000)).repeat(3, axis=0)
    found = percentile_interval(hierarchical_samples(np.full(3, 0.3), samples))
    np.testing.assert_allclose(found, percentile_interval(samples[0]), atol=1e-12)


def test_both_needs_two_seeds() -> None:
    with pytest.raises(FpnProbeError, match="at least 2"):
        hierarchical_samples(np.zeros(1), np.zeros((1, 10)))


@pytest.mark.parametrize(("image_error", "low"), [(0.0, 0.93), (1.0, 0.93), (4.0, 0.93)])
def test_both_covers_the_truth_with_three_seeds(image_error: float, low: float) -> None:
    """1,000 studies of 3 seeds: the interval holds the true mean in at least 93 % of them.

    Resampling three seeds plainly covers 3/4 where seeds are the only error.
    """
    random = np.random.default_rng(7)
    inside = plain = 0
    for trial in range(1000):
        seeds = random.normal(0, 1, 3)
        shift = image_error * random.normal()  # the images at hand, the same for all seeds
        draws = image_error * random.normal(0, 1, 300)
        values = seeds + shift
        samples = values[:, None] + draws
        bounds = percentile_interval(hierarchical_samples(values, samples, seed=trial))
        inside += bounds[0] <= 0 <= bounds[1]
        chosen = random.integers(0, 3, (3, 300))
        resampled = np.take_along_axis(samples, chosen, axis=0).mean(axis=0)
        bounds = percentile_interval(resampled)
        plain += bounds[0] <= 0 <= bounds[1]
    assert low <= inside / 1000 <= 0.98
    if image_error == 0:
        assert plain / 1000 < 0.85


def test_rank_correlation_is_spearmans() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=30)
    y = x + random.normal(size=30)
    found = rank_correlation(x, y)
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low < found.rho < found.high
    assert (found.n, found.clusters, found.note) == (30, 30, "")


def test_seeds_of_one_variant_are_one_witness() -> None:
    x = np.arange(24.0)
    loose = rank_correlation(x, x**2 - 9 * x, clusters=[f"v{int(i) // 4}" for i in x])
    tight = rank_correlation(x, x**2 - 9 * x)
    assert loose.rho == tight.rho
    assert loose.clusters == 6
    assert loose.low < tight.low
    assert loose.high > tight.high


def test_too_few_variants_are_said() -> None:
    found = rank_correlation([1, 2, 3, 4], [4, 3, 2, 1], clusters=["a", "a", "b", "b"])
    assert found.rho == -1
    assert np.isnan([found.low, found.high]).all()
    assert found.note == "too few points: 2 variants, at least 5 needed"


def test_a_constant_measure_has_no_correlation() -> None:
    found = rank_correlation(np.ones(9), np.arange(9.0))
    assert np.isnan(found.rho)
    assert found.note == "one of the two does not vary"


def test_p_is_the_level_at_which_the_interval_touches_zero() -> None:
    found = rank_correlation(np.arange(12.0), [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])
    touching = rank_correlation(
        np.arange(12.0), [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], confidence=1 - found.p
    )
    assert found.rho > 0 and touching.low == pytest.approx(0, abs=1e-9)


def test_rank_correlation_covers_the_truth() -> None:
    """95 % intervals of 8 points hold the true rho of a bivariate normal in 93 to 98 of 100."""
    random = np.random.default_rng(5)
    correlation = 0.6
    truth = 6 / np.pi * np.arcsin(correlation / 2)  # Spearman's rho of a bivariate normal
    inside = 0
    for _ in range(600):
        x = random.normal(size=8)
        y = correlation * x + np.sqrt(1 - correlation**2) * random.normal(size=8)
        found = rank_correlation(x, y)
        inside += found.low <= truth <= found.high
    assert 0.93 <= inside / 600 <= 0.985
