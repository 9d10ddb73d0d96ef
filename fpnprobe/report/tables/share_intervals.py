"""The one number for a size's share of a stage's gradient, with its interval.

A share is a bucket's part of the summed squared norms of all object buckets: of each cell over all
its images, then the mean over seeds. It is measured on the same images in every cell, with the
weights at the end of training, wherever every variant has that; else on the trainings' own samples.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fpnprobe.report.tables.gradient_shares import stage_shares
from fpnprobe.report.tables.stored import Stored
from fpnprobe.statistics import Floats, hierarchical_samples, percentile_interval, resample_counts

RESAMPLES = 1000
FEWEST = 5
"""Samples below which a cell's share has no interval."""
FEW = 20
"""Samples below which the report warns of a share."""
_PLACE = ["tap", "route", "bucket"]


def share_intervals(stored: Stored, *, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Shares of stages by variant, route and bucket with 95 % intervals.

    The bootstrap resamples the images, the same for all seeds where the same images were measured
    at the end of training, and else the probed steps of each training; spread over seeds enters as
    in `hierarchical_samples`.

    Returns:
        `stage_shares` with `low`, `high` (NaN below `FEWEST` samples), `seeds`, and `samples`:
        batches of images or probed steps of the cell with the fewest.
    """
    table, cells = stage_shares(stored), stored.stage_gradients.shares
    if table.empty or stored.stage_gradients.history.empty:
        return table.assign(low=np.nan, high=np.nan, seeds=0, samples=0)
    cells = cells[(cells["term"] == "all") & (cells["kind"] == "activation")]
    intervals = [
        _of_variant(
            samples,
            cells[cells["variant"] == variant],
            same_images=stored.measures_ends,
            resamples=resamples,
        ).assign(variant=variant)
        for variant, samples in stored.stage_gradients.history.groupby("variant", sort=False)
    ]
    joined = pd.concat(intervals, ignore_index=True)
    return table.merge(joined, how="left", on=["variant", *_PLACE])


def _of_variant(
    samples: pd.DataFrame, cells: pd.DataFrame, *, same_images: bool, resamples: int
) -> pd.DataFrame:
    """`low`, `high`, `seeds` and `samples` of every place of one variant."""
    drawn, values, counts = [], [], []
    for at, (seed, rows) in enumerate(samples.groupby("seed", sort=True)):
        squares = rows.pivot_table(index="iteration", columns=_PLACE, values="square")
        draws = resample_counts(len(squares), resamples=resamples, seed=0 if same_images else at)
        energies = pd.DataFrame(draws @ squares.to_numpy(), columns=squares.columns)
        sums = energies.T.groupby(level=["tap", "route"]).transform("sum").T
        drawn.append(energies / sums.where(sums > 0))
        values.append(cells[cells["seed"] == seed].set_index(_PLACE)["share"])
        counts.append(int(rows.groupby(_PLACE)["points"].sum().max()))
    places = dict.fromkeys(place for table in drawn for place in table.columns)
    records = []
    for place in places:
        low, high = np.nan, np.nan
        if min(counts) >= FEWEST and all(place in table for table in drawn):
            low, high = _interval_of_share(
                [float(shares.get(place, np.nan)) for shares in values],
                [table[place].to_numpy(dtype=float) for table in drawn],
                items=min(counts),
            )
        records.append((*place, low, high, len(values), min(counts)))
    return pd.DataFrame(records, columns=[*_PLACE, "low", "high", "seeds", "samples"])


def _interval_of_share(
    values: Sequence[float], drawn: Sequence[Floats], *, items: int
) -> tuple[float, float]:
    """The interval of a share; one seed's percentiles are expanded for its few samples."""
    if not np.isfinite(values).all():
        return np.nan, np.nan
    low, high = (
        percentile_interval(hierarchical_samples(np.array(values), np.array(drawn)))
        if len(values) > 1
        else percentile_interval(drawn[0], items=items)
    )
    return max(low, 0.0), min(high, 1.0)


def measured_on(stored: Stored) -> str:
    """Say what the shares of stages were measured on, in words that follow a number."""
    if not stored.measures_ends:
        return "while training"
    images = {
        ((cell.manifest.get("config") or {}).get("probe") or {}).get("offline")
        for cell in stored.cells
    }
    many = f"{images.pop()} " if len(images) == 1 and all(images) else ""
    return f"the same {many}images, end of training"


def sampled_over(table: pd.DataFrame, stored: Stored) -> str:
    """Say what the intervals of `share_intervals` are over."""
    unit = "images" if stored.measures_ends else "samples"
    return f"{unit} and seeds" if (table["seeds"] > 1).all() else unit
