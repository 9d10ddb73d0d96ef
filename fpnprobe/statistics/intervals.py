"""Intervals over seeds, over images, over both, and of a rank correlation."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from fpnprobe.errors import FpnProbeError

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.95
ENOUGH_CLUSTERS = 5


@dataclass(frozen=True, slots=True, repr=False)
class Spread:
    """Mean, standard deviation and interval of the mean over `n` independent values."""

    n: int
    mean: float
    sd: float
    low: float
    high: float

    def __repr__(self) -> str:
        return (
            f"Spread(n={self.n}, mean={self.mean:.3f}, sd={self.sd:.3f}, "
            f"low={self.low:.3f}, high={self.high:.3f})"
        )


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Spearman's rho over `n` points in `clusters` groups, its interval and two-sided p-value.

    `note` says why bounds and p are missing.
    """

    n: int
    clusters: int
    rho: float
    low: float
    high: float
    p: float
    note: str


def t_interval(values: npt.ArrayLike) -> Spread:
    """Compute mean, sample deviation and Student's 95 % t interval of the mean; NaN values dropped.

    Fewer than two values have no spread: `sd`, `low` and `high` are NaN.
    """
    finite_values = np.asarray(values, dtype=np.float64)
    finite_values = finite_values[np.isfinite(finite_values)]
    n = len(finite_values)
    mean = float(finite_values.mean()) if n else float("nan")
    if n < 2:
        return Spread(n, mean, float("nan"), float("nan"), float("nan"))
    sd = float(finite_values.std(ddof=1))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * sd / np.sqrt(n)
    return Spread(n, mean, sd, mean - half, mean + half)


EXPANDED = "expanded percentiles of a bootstrap"
"""How `percentile_interval` with `items` is called beside its intervals."""


def percentile_interval(samples: npt.ArrayLike, *, items: int | None = None) -> tuple[float, float]:
    """Compute the 95 % percentile bootstrap interval (Efron, 1979) of finite samples; NaN for none.

    With `items`, the number of independent things (images, probed steps) that were drawn from, it
    is the expanded percentile interval (Hesterberg, 2015): a bootstrap of n items is narrow by
    sqrt((n - 1) / n) and has no t in it, so percentiles are taken as much farther out as both make
    up for, at the order statistics that few resamples do not move either.

    >>> [round(bound, 6) for bound in percentile_interval(range(1001))]
    [25.0, 975.0]
    >>> [round(bound) for bound in percentile_interval(range(1001), items=10)]
    [8, 992]
    """
    finite_samples = np.asarray(samples, dtype=np.float64)
    finite_samples = finite_samples[np.isfinite(finite_samples)]
    if not len(finite_samples):
        return float("nan"), float("nan")
    if items is None:
        low, high = np.quantile(finite_samples, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
        return float(low), float(high)
    n = max(items, 2)
    reach = np.sqrt(n / (n - 1)) * float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1))
    tail = float(stats.norm.cdf(-reach))
    low, high = np.quantile(finite_samples, [tail, 1 - tail], method="weibull")
    return float(low), float(high)


def resample_counts(items: int, *, resamples: int, seed: int = 0) -> npt.NDArray[np.int32]:
    """Draw how often each of `items` is in each bootstrap resample, (resamples, items).

    >>> resample_counts(4, resamples=2).sum(axis=1).tolist()
    [4, 4]
    """
    random = np.random.default_rng(seed)
    counts = np.empty((resamples, items), dtype=np.int32)
    for row in counts:
        row[:] = np.bincount(random.integers(0, items, items), minlength=items)
    return counts


def hierarchical_samples(values: Floats, samples: Floats, *, seed: int = 0) -> Floats:
    """Draw bootstrap samples of a mean over training seeds that carry image and seed error.

    Images are resampled, the same for all seeds; on each resample the mean over seeds is moved by
    `T * sd / sqrt(S)`, T a draw of Student's t with S - 1 degrees of freedom. Plainly resampling
    the seeds, as a hierarchical bootstrap does with many (Davison and Hinkley, 1997, 3.8), covers
    far too little with two to five of them. Without image error the percentile interval is the t
    interval, without spread over seeds it is the image bootstrap's. What seeds and images do
    together is counted in both, which errs on the wide side.

    Args:
        values: (S,) one value per training seed.
        samples: (S, R) the same under each resample of images.
        seed: Of the draws of T.

    Returns:
        (R,) samples.
    """
    n_seeds, resamples = samples.shape
    if n_seeds < 2:
        raise FpnProbeError(f"{n_seeds} seed has no spread over seeds, expected at least 2")
    # One draw from each of R equal slices of the distribution: its tails are heavy.
    slice_centers = np.random.default_rng(seed).permutation(resamples) + 0.5
    shift = stats.t.ppf(slice_centers / resamples, n_seeds - 1)
    return np.asarray(samples.mean(axis=0) + shift * values.std(ddof=1) / np.sqrt(n_seeds))


def rank_correlation(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = CONFIDENCE,
) -> RankCorrelation:
    """Compute Spearman's rank correlation with an interval, or note that points are too few.

    The interval is Bonett and Wright's (2000): Fisher's z with variance
    `(1 + rho^2 / 2) / (n - 3)`, where n counts `clusters` (say, variants), because seeds of one
    variant are no independent witnesses; `p` is below 0.05 where it excludes 0. Pairs with NaN are
    dropped.

    >>> rank_correlation([1, 2, 3], [1, 4, 9]).note
    'too few points: 3, at least 5 needed'
    """
    pairs = np.column_stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    groups = list(range(len(pairs))) if clusters is None else list(clusters)
    complete = np.atleast_1d(np.isfinite(pairs).all(axis=1))
    pairs = pairs[complete]
    n = len(pairs)
    distinct = len({group for group, keep in zip(groups, complete.tolist(), strict=True) if keep})
    varies = n >= 3 and bool((np.ptp(pairs, axis=0) > 0).all())
    rho = float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic) if varies else float("nan")
    nan = float("nan")
    if distinct < ENOUGH_CLUSTERS:
        unit = "" if clusters is None else " variants"
        note = f"too few points: {distinct}{unit}, at least {ENOUGH_CLUSTERS} needed"
        return RankCorrelation(n, distinct, rho, nan, nan, nan, note)
    if not varies:
        return RankCorrelation(n, distinct, rho, nan, nan, nan, "one of the two does not vary")
    error = np.sqrt((1 + rho**2 / 2) / (distinct - 3))
    half = stats.norm.ppf(0.5 + confidence / 2) * error
    z = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    low, high = float(np.tanh(z - half)), float(np.tanh(z + half))
    return RankCorrelation(
        n, distinct, rho, low, high, float(2 * stats.norm.sf(abs(z) / error)), ""
    )
