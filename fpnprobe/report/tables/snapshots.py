"""Measurements of one set of images with the weights of several moments of a training.

A cell may hold `offline/iteration-<N>/ledger.parquet`: the ledger of the same images through the
weights after N iterations, its own `iteration` being the number of the batch.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fpnprobe.report.tables.cells import Cell
from fpnprobe.statistics import all_object_index, gradient_shares
from fpnprobe.store.tables import DamagedTable, read_parquet

COLUMNS = (
    "variant", "seed", "trained", "tap", "route", "quantity", "bucket", "value", "residual",
)  # fmt: skip
_RESIDUALS = ["residual_loss", "residual_gradient", "residual_routes"]
_READ = [
    "iteration", "tap", "kind", "route", "bucket", "term", "l2", "n_objects", "state", *_RESIDUALS,
]  # fmt: skip


def kept_records(cell: Cell, holes: list[str]) -> list[pd.DataFrame]:
    """Ledgers of a cell's kept weights, with `trained`; what cannot be read becomes a hole."""
    frames = []
    for trained, folder in measured(cell):
        frame = _read_records(folder / "ledger.parquet")
        if frame is None:
            holes.append(
                f"{cell.variant}, seed {cell.seed}: the measurement after {trained} iterations "
                "has no readable ledger"
            )
            continue
        frames.append(
            frame.assign(study=cell.study, variant=cell.variant, seed=cell.seed, trained=trained)
        )
    return frames


def measured(cell: Cell) -> list[tuple[int, Path]]:
    """Iterations trained and folder of each measurement of a cell, in order."""
    if cell.folder is None:
        return []
    matches = [(re.fullmatch(r"iteration-(\d+)", p.name), p) for p in cell.folder.glob("offline/*")]
    return sorted((int(name[1]), path) for name, path in matches if name)


def quantities(records: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Gradient shares and the all-object index of every measurement, one `value` to a row.

    `quantity` is `share` (of `bucket`, in [0, 1]) or `index`; `residual` is the largest of the
    measurement's sums.
    """
    if not records:
        return pd.DataFrame(columns=list(COLUMNS))
    every = pd.concat(records, ignore_index=True)
    cell = ["variant", "seed", "trained"]
    worst = every.assign(residual=every[_RESIDUALS].max(axis=1)).groupby(cell, sort=False)
    tables = []
    for trained, frame in every.groupby("trained"):
        shares = gradient_shares(frame).dropna(subset="share").rename(columns={"share": "value"})
        index = all_object_index(frame).rename(columns={"index": "value"})
        tables += [
            shares.assign(trained=trained, quantity="share"),
            index.assign(trained=trained, quantity="index", bucket=""),
        ]
    table = pd.concat(tables, ignore_index=True)
    table = table.merge(worst["residual"].max().reset_index(), on=cell)
    return table[list(COLUMNS)]


def _read_records(path: Path) -> pd.DataFrame | None:
    filters = [("term", "=", "all"), ("kind", "=", "activation")]
    try:
        frame = read_parquet(path, columns=_READ, filters=filters)
    except DamagedTable:
        return None
    frame = frame[frame["tap"].astype(str).str.fullmatch(r"C\d+")]
    return frame.replace([np.inf, -np.inf], np.nan) if len(frame) else None
