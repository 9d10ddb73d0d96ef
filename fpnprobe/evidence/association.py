"""The tool's own hypothesis: do gradient measures go with what happens to AP by size?

For every stage and route, the all-object index and the share of the gradient that large objects
send, and for every stage the cosine of large objects' direct and deeper gradient and that of small
and large objects' gradients in the parameters, are set against the change of AP_S and AP_L to the
mean of the study's baseline (the first variant that has an AP), over all variants and seeds:
Spearman's rank correlation with an interval that counts variants, not seeds, as witnesses; below
five variants there is no interval, and the note says so.
The gradient is that of the training's own samples (`training`) and, where a cell was measured after
its training, that of the same validation images in every cell (`end`). Many correlations are looked
at, so each has a false discovery rate `q` beside its interval. Interventions are left out: their
ledgers hold the gradient before the change.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from fpnprobe.evaluation.evaluation import bucket_metrics
from fpnprobe.evidence.finished_cells import FinishedCell, FinishedStudy
from fpnprobe.ledger import Ledger
from fpnprobe.statistics import (
    Floats,
    all_object_index,
    gradient_shares,
    rank_correlation,
    route_cosines,
    size_cosines,
)
from fpnprobe.store.tables import read_parquet

_PLACE = ["ledger", "measure", "tap", "kind", "route"]
_POINTS = ["variant", "seed", *_PLACE, "value", "metric", "ap", "change"]
_EVALUATION = {
    **dict.fromkeys(("iou_type", "metric"), "text"),
    **dict.fromkeys(("value", "iteration"), "number"),
}
_TABLE = [*_PLACE, "metric", "n", "variants", "rho", "low", "high", "q", "note"]


def associations(study: FinishedStudy) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rank correlations, and the points behind them; AP is what each cell has stored.

    Returns:
        `ledger` ("training" or "end"), `measure` ("index", "large_share", "route_cosine" or
        "size_cosine"), tap, kind, route ("total" for cosines), metric, `n` points, `variants`, rho,
        low, high, `q` (Benjamini and Yekutieli, 2001, over the rows of the same kind with an
        interval, stages and pyramid levels apart), note; and one row per cell, place and metric
        with `value` and `change`.
    """
    points = _join_points(study)
    rows = []
    for quantity, group in points.groupby([*_PLACE, "metric"], sort=False):
        correlation = rank_correlation(
            group["value"], group["change"], clusters=group["variant"].tolist()
        )
        result = (
            correlation.n,
            correlation.clusters,
            correlation.rho,
            correlation.low,
            correlation.high,
            correlation.p,
            correlation.note,
        )
        rows.append((*quantity, *result))
    table = pd.DataFrame(rows, columns=_TABLE)
    family = [table["kind"], table["tap"].str[0]]  # C or P
    return table.assign(q=table["q"].groupby(family).transform(_false_discovery)), points


def _false_discovery(p: "pd.Series[float]") -> Floats:
    """Rates that hold however the tests depend on each other; NaN stays NaN."""
    values = p.to_numpy(dtype=np.float64)
    q, tested = np.full(len(values), np.nan), np.isfinite(values)
    if tested.any():
        q[tested] = stats.false_discovery_control(values[tested], method="by")
    return q


def _join_points(study: FinishedStudy) -> pd.DataFrame:
    intervened_variants = {entry.variant for entry in study.intervened()}
    measures = [
        _read_measures(folder, study.buckets[0].name, study.buckets[-1].name).assign(
            ledger=ledger, variant=cell.variant, seed=cell.seed
        )
        for cell in study.cells
        if cell.variant not in intervened_variants
        for ledger, folder in _find_ledgers(cell)
    ]
    changes = _read_changes(study)
    if not measures or changes.empty:
        return pd.DataFrame(columns=_POINTS)
    joined = pd.concat(measures, ignore_index=True).merge(changes, on=["variant", "seed"])
    return joined.dropna(subset=["value", "change"])[_POINTS].reset_index(drop=True)


def _find_ledgers(cell: FinishedCell) -> Iterator[tuple[str, Path]]:
    """The ledger of a cell's training, and that of the same images after it."""
    if (cell.folder / "ledger.parquet").exists():
        yield "training", cell.folder
    offline_folders = [
        path.parent for path in cell.folder.glob("offline/iteration-*/ledger.parquet")
    ]
    if offline_folders:
        yield "end", max(offline_folders, key=lambda folder: int(folder.name.rpartition("-")[2]))


def _read_measures(folder: Path, smallest: str, largest: str) -> pd.DataFrame:
    """Return the index, the large-object share and the cosines of one cell's ledger."""
    ledger = Ledger.read(folder)
    quantity = ["tap", "kind", "route"]
    index = all_object_index(ledger.frame).rename(columns={"index": "value"})
    shares = gradient_shares(ledger.frame)
    large = shares[shares["bucket"] == largest].rename(columns={"share": "value"})
    of_routes = route_cosines(ledger.frame)
    of_routes = of_routes[of_routes["bucket"] == largest].rename(columns={"cosine": "value"})
    of_sizes = size_cosines(ledger.conflict, smallest, largest).rename(columns={"cosine": "value"})
    return pd.concat(
        [
            index[[*quantity, "value"]].assign(measure="index"),
            large[[*quantity, "value"]].assign(measure="large_share"),
            of_routes.assign(measure="route_cosine", kind="activation", route="total"),
            of_sizes.assign(measure="size_cosine", kind="parameter", route="total"),
        ],
        ignore_index=True,
    )[[*quantity, "measure", "value"]]


def _read_changes(study: FinishedStudy) -> pd.DataFrame:
    """Read each cell's AP of the smallest and largest bucket, and its change to the baseline."""
    ends = {0, len(study.buckets) - 1}
    metric_names = [name for name, i in bucket_metrics(study.buckets).items() if i in ends]
    # Buckets of three have two names each; the letters come first and are enough.
    metric_names = [name for name in metric_names if name in ("AP_S", "AP_L")] or metric_names
    tables: list[pd.DataFrame] = [
        read_parquet(file, _EVALUATION).assign(variant=cell.variant, seed=cell.seed)
        for cell in study.cells
        if (file := cell.folder / "evaluation.parquet").exists()
    ]
    columns = ["variant", "seed", "metric", "ap", "change"]
    if not tables:
        return pd.DataFrame(columns=columns)
    table = pd.concat(tables, ignore_index=True).rename(columns={"value": "ap"})
    table = table[(table["iou_type"] == study.iou_type) & table["metric"].isin(metric_names)]
    table = table.sort_values("iteration", kind="stable")
    table = table.drop_duplicates(["variant", "seed", "metric"], keep="last")
    baseline = next((v for v in study.variants if v in set(table["variant"])), None)
    if baseline is None:
        return pd.DataFrame(columns=columns)
    start = table[table["variant"] == baseline].groupby("metric")["ap"].mean()
    return table.assign(change=table["ap"] - table["metric"].map(start))[columns]
