"""Differences between variants with the two sources of error, apart and together.

The image error of a variant's mean is bootstrapped with one draw of images for all its seeds
(expanded percentiles); the seed error is a t interval over seeds; both together is a hierarchical
bootstrap, images resampled and seeds by Student's t. Seeds of two variants are paired by number:
cells of one seed share their data order. A seed that only one of two variants has does not enter
their difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.evaluation.ground_truth import Floats
from fpnprobe.evaluation.resampling import Resampled
from fpnprobe.evidence.verdicts import ONE_SEED
from fpnprobe.statistics import EXPANDED, hierarchical_samples, percentile_interval, t_interval

_COMPARISON = [
    "variant", "baseline", "seed", "metric", "a", "b", "difference", "low", "high", "source",
    "level", "n_seeds", "n_images", "resamples", "note", "method",
]  # fmt: skip
_METHODS = {"images": EXPANDED, "seeds": "Student's t", "both": "a hierarchical bootstrap"}
_CURVE = ["low", "high", "sqrt_area", "ap", "band_low", "band_high", "n_objects", "source"]
_SPREAD = ["variant", "metric", "n", "mean", "sd", "low", "high"]


@dataclass(frozen=True, slots=True)
class Runs:
    """The resampled cells of a study, all with the same draws of images."""

    runs: Mapping[tuple[str, int], Resampled]
    variants: Sequence[str]
    bins: pd.DataFrame | None
    images: int
    seed: int

    def seeds(self, *variants: str) -> list[int]:
        """Return the seeds that all these variants have."""
        have = [{s for v, s in self.runs if v == variant} for variant in variants]
        return sorted(set.intersection(*have))

    def names(self) -> tuple[str, ...]:
        """Return the names of the metrics."""
        return next(iter(self.runs.values())).names if self.runs else ()

    def items(self) -> list[int]:
        """Return how many images hold an object, for each metric and each bin of sizes."""
        return next(iter(self.runs.values())).items.tolist() if self.runs else []

    def stacked(self, variant: str, seeds: Sequence[int]) -> tuple[Floats, Floats]:
        """Return the values (S, N) and samples (S, N, R) of a variant's seeds."""
        runs = [self.runs[variant, seed] for seed in seeds]
        return np.stack([run.values for run in runs]), np.stack([run.samples for run in runs])


@dataclass(frozen=True, slots=True)
class _Interval:
    source: str
    low: float
    high: float
    note: str = ""


def _mean_intervals(values: Floats, samples: Floats, items: int, seed: int) -> list[_Interval]:
    """The intervals of a mean over seeds; `values` (S,), `samples` (S, R) over `items` images."""
    over_images = [_Interval("images", *percentile_interval(samples.mean(axis=0), items=items))]
    if len(values) < 2:
        nan = float("nan")
        return [
            *over_images,
            _Interval("seeds", nan, nan, ONE_SEED),
            _Interval("both", nan, nan, ONE_SEED),
        ]
    spread = t_interval(values)
    both_bounds = percentile_interval(hierarchical_samples(values, samples, seed=seed))
    return [
        *over_images,
        _Interval("seeds", spread.low, spread.high),
        _Interval("both", *both_bounds),
    ]


def compared(runs: Runs, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Every metric of every pair: each seed over images, then all seeds by each source."""
    rows: list[dict[str, Any]] = []
    for variant, baseline in pairs:
        seeds = runs.seeds(variant, baseline)
        if not seeds:
            continue
        b, b_samples = runs.stacked(variant, seeds)
        a, a_samples = runs.stacked(baseline, seeds)
        for i, (metric, items) in enumerate(zip(runs.names(), runs.items(), strict=False)):
            values, samples = b[:, i] - a[:, i], b_samples[:, i] - a_samples[:, i]
            shared = {
                "variant": variant, "baseline": baseline, "metric": metric, "level": 0.95,
                "n_images": runs.images, "resamples": samples.shape[1],
            }  # fmt: skip
            for s, seed in enumerate(seeds):
                low, high = percentile_interval(samples[s], items=items)
                rows.append(
                    {**shared, "seed": str(seed), "a": a[s, i], "b": b[s, i], "low": low,
                     "high": high, "difference": values[s], "source": "images", "n_seeds": 1,
                     "note": "", "method": EXPANDED}
                )  # fmt: skip
            rows += [
                {**shared, "seed": "all", "a": a[:, i].mean(), "b": b[:, i].mean(),
                 "difference": values.mean(), "low": interval.low, "high": interval.high,
                 "source": interval.source, "n_seeds": len(seeds), "note": interval.note,
                 "method": _METHODS[interval.source]}
                for interval in _mean_intervals(values, samples, items, runs.seed)
            ]  # fmt: skip
    return pd.DataFrame(rows, columns=_COMPARISON)


def _curve_rows(
    runs: Runs, seeds: Sequence[int], values: Floats, samples: Floats, name: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the rows of a curve: each seed with its image band, then the mean with each band.

    `values` (S, B) and `samples` (S, B, R) over B bins.
    """
    rows: list[dict[str, Any]] = []
    bins = runs.bins
    assert bins is not None
    for i, (size_bin, items) in enumerate(
        zip(bins.to_dict("records"), runs.items()[len(runs.names()) :], strict=True)
    ):
        shared: dict[str, Any] = {**name, **{str(k): v for k, v in size_bin.items()}}
        for s, seed in enumerate(seeds):
            low, high = percentile_interval(samples[s, i], items=items)
            rows.append(
                {**shared, "seed": str(seed), "ap": values[s, i], "band_low": low,
                 "band_high": high, "source": "images"}
            )  # fmt: skip
        rows += [
            {**shared, "seed": "all", "ap": values[:, i].mean(), "band_low": interval.low,
             "band_high": interval.high, "source": interval.source}
            for interval in _mean_intervals(values[:, i], samples[:, i], items, runs.seed)
        ]  # fmt: skip
    return rows


def curves(runs: Runs) -> pd.DataFrame:
    """Return the AP against sqrt(area) of every cell and of every variant's mean."""
    rows: list[dict[str, Any]] = []
    n = len(runs.names())
    for variant in runs.variants:
        if seeds := runs.seeds(variant):
            values, samples = runs.stacked(variant, seeds)
            rows += _curve_rows(runs, seeds, values[:, n:], samples[:, n:], {"variant": variant})
    return pd.DataFrame(rows, columns=["variant", "seed", *_CURVE])


def curve_differences(runs: Runs, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """The difference of two variants' curves; `ap` is the variant's minus the baseline's."""
    rows: list[dict[str, Any]] = []
    n = len(runs.names())
    for variant, baseline in pairs:
        if seeds := runs.seeds(variant, baseline):
            b, b_samples = runs.stacked(variant, seeds)
            a, a_samples = runs.stacked(baseline, seeds)
            name = {"variant": variant, "baseline": baseline}
            rows += _curve_rows(runs, seeds, (b - a)[:, n:], (b_samples - a_samples)[:, n:], name)
    return pd.DataFrame(rows, columns=["variant", "baseline", "seed", *_CURVE])


def seed_table(runs: Runs) -> pd.DataFrame:
    """Return the mean, standard deviation and t interval over seeds of every variant's metrics."""
    rows = []
    for variant in runs.variants:
        if seeds := runs.seeds(variant):
            values, _ = runs.stacked(variant, seeds)
            for i, metric in enumerate(runs.names()):
                spread = t_interval(values[:, i])
                rows.append(
                    (variant, metric, spread.n, spread.mean, spread.sd, spread.low, spread.high)
                )
    return pd.DataFrame(rows, columns=_SPREAD)
