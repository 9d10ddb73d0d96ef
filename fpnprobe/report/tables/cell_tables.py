"""Reads the tables that one cell left on disk; what is missing or damaged becomes a sentence."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.report.tables.cells import Cell, plain
from fpnprobe.report.tables.gradients import CellGradients, summarize
from fpnprobe.report.tables.snapshots import measured
from fpnprobe.store.runs import LEDGER
from fpnprobe.store.tables import DamagedTable, read_parquet

STRETCHES = 24


def read_table(
    path: Path, holes: list[str], columns: Mapping[str, str] | None = None
) -> pd.DataFrame | None:
    """Read a table, or name it among the holes and return None."""
    try:
        table: pd.DataFrame = read_parquet(path, columns)
    except DamagedTable as error:
        short_path, problem = f"{path.parent.name}/{path.name}", str(error).partition(f"{path}")[2]
        readable = "has no" in problem
        holes.append(
            f"{short_path}{problem}" if readable else f"{short_path} is no readable parquet file"
        )
        return None
    return table


def read_evaluation(cell: Cell, holes: list[str]) -> list[pd.DataFrame]:
    """Read the AP of a cell with its study, variant and seed; none where it is missing."""
    assert cell.folder is not None
    path = cell.folder / "evaluation.parquet"
    if not path.exists():
        if not cell.is_run:  # a training need not evaluate
            holes.append(f"{cell.variant}, seed {cell.seed} has no evaluation: AP not measured")
        return []
    table = read_table(path, holes, {"metric": "text", "value": "number"})
    if table is None:
        return []
    table["study"], table["variant"], table["seed"] = cell.study, cell.variant, cell.seed
    return [table]


def read_training(cell: Cell, holes: list[str]) -> list[pd.DataFrame]:
    """Read losses and other scalars of a cell, if it kept them: iteration, name, value."""
    assert cell.folder is not None
    path = cell.folder / "training.parquet"
    kinds = {"iteration": "number", "name": "text", "value": "number"}
    table = read_table(path, holes, kinds) if path.exists() else None
    if table is None or table.empty:
        return []
    stretch = max(1, -(-int(table["iteration"].max() + 1) // STRETCHES))
    middle = (stretch - 1) / 2
    table = table.assign(iteration=table["iteration"] // stretch * stretch + middle)
    table = table.groupby(["name", "iteration"], sort=False)["value"].mean().reset_index()
    return [table.assign(variant=cell.variant)]


def average_over_seeds(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Average the scalars of all cells over the seeds of a variant."""
    if not tables:
        return pd.DataFrame(columns=["variant", "name", "iteration", "value", "seeds"])
    keys = ["variant", "name", "iteration"]
    table = pd.concat(tables).groupby(keys, sort=False)["value"]
    return table.agg(value="mean", seeds="count").reset_index()


def read_last_weights(cell: Cell) -> list[CellGradients]:
    """Read the measurement with a cell's last weights; `kept_records` names damaged ones."""
    for _, folder in measured(cell)[-1:]:
        try:
            return [summarize(folder, study=cell.study, variant=cell.variant, seed=cell.seed)]
        except (FpnProbeError, OSError, ValueError, LookupError, TypeError, AttributeError):
            return []
    return []


def read_gradients(cell: Cell, holes: list[str]) -> list[CellGradients]:
    """Read and summarize the ledger of a cell; a missing or damaged one is a hole."""
    assert cell.folder is not None
    if not any((cell.folder / name).exists() for name in LEDGER):
        holes.append(f"{cell.variant}, seed {cell.seed} has no ledger: gradients not measured")
        return []
    try:
        return [summarize(cell.folder, study=cell.study, variant=cell.variant, seed=cell.seed)]
    except FpnProbeError as error:
        if f"cannot read {cell.folder}" not in str(error):
            holes.append(f"{cell.variant}, seed {cell.seed}: {plain(error)}")
            return []
        holes.append(f"{cell.variant}, seed {cell.seed}: the ledger is no readable parquet file")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        holes.append(f"{cell.variant}, seed {cell.seed}: the ledger is no readable parquet file")
    return []
