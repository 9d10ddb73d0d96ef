"""The tool's own hypothesis: do gradient measures go with what happens to AP by size?

For every stage and route, the all-object index and the share of the gradient that large objects
send are set against the change of AP_S and AP_L to the mean of the study's baseline (the first
variant), over all variants and seeds: Spearman's rank correlation with an interval that counts
variants, not seeds, as witnesses. The report plots the points; below five variants there is no
interval, and the note says so. Interventions are left out: their ledgers hold the gradient before
the change.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fpnprobe.evaluation.evaluation import bucket_metrics
from fpnprobe.evaluation.finished import FinishedStudy
from fpnprobe.intervals import rank_correlation
from fpnprobe.ledger import Ledger
from fpnprobe.statistics import all_object_index, gradient_shares

if TYPE_CHECKING:
    from fpnprobe.evaluation.spread import Runs

_PLACE = ["measure", "tap", "kind", "route"]
_POINTS = ["variant", "seed", *_PLACE, "value", "metric", "ap", "change"]
_TABLE = [*_PLACE, "metric", "n", "variants", "rho", "low", "high", "note"]


def associations(study: FinishedStudy, runs: "Runs") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank correlations, and the points behind them.

    Returns:
        `measure` ("index" or "large_share"), tap, kind, route, metric, `n` points, `variants`,
        rho, low, high, note; and one row per cell, place and metric with `value` and `change`.
    """
    points = _points(study, runs)
    rows = []
    for (measure, tap, kind, route, metric), group in points.groupby(
        [*_PLACE, "metric"], sort=False
    ):
        found = rank_correlation(
            group["value"], group["change"], clusters=group["variant"].tolist()
        )
        place = (measure, tap, kind, route, metric)
        result = (found.n, found.clusters, found.rho, found.low, found.high, found.note)
        rows.append((*place, *result))
    return pd.DataFrame(rows, columns=_TABLE), points


def _points(study: FinishedStudy, runs: "Runs") -> pd.DataFrame:
    changed = {each.variant for each in study.intervened()}
    measures = [
        _measures(cell.folder, study.buckets[-1].name).assign(variant=cell.variant, seed=cell.seed)
        for cell in study.cells
        if cell.variant not in changed and (cell.folder / "ledger.parquet").exists()
    ]
    changes = _changes(study, runs)
    if not measures or changes.empty:
        return pd.DataFrame(columns=_POINTS)
    joined = pd.concat(measures, ignore_index=True).merge(changes, on=["variant", "seed"])
    return joined.dropna(subset=["value", "change"])[_POINTS].reset_index(drop=True)


def _measures(folder: Path, largest: str) -> pd.DataFrame:
    """Index and large-object share of one cell's ledger."""
    frame = Ledger.read(folder).frame
    place = ["tap", "kind", "route"]
    index = all_object_index(frame).rename(columns={"index": "value"})
    shares = gradient_shares(frame)
    large = shares[shares["bucket"] == largest].rename(columns={"share": "value"})
    return pd.concat(
        [
            index[[*place, "value"]].assign(measure="index"),
            large[[*place, "value"]].assign(measure="large_share"),
        ],
        ignore_index=True,
    )


def _changes(study: FinishedStudy, runs: "Runs") -> pd.DataFrame:
    """AP of the smallest and the largest bucket of every cell, and its change to the baseline."""
    ends = {0, len(study.buckets) - 1}
    wanted = [name for name, i in bucket_metrics(study.buckets).items() if i in ends]
    # Buckets of three have two names each; the letters come first and are enough.
    wanted = [name for name in wanted if name in ("AP_S", "AP_L")] or wanted
    baseline = next((v for v in study.variants if runs.seeds(v)), None)
    rows = []
    for metric in wanted:
        if baseline is None:
            break
        place = runs.names().index(metric)
        start = runs.stacked(baseline, runs.seeds(baseline))[0][:, place].mean()
        rows += [
            (variant, seed, metric, run.values[place], run.values[place] - start)
            for (variant, seed), run in runs.runs.items()
        ]
    return pd.DataFrame(rows, columns=["variant", "seed", "metric", "ap", "change"])
