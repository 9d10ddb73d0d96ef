"""The sections that let a reader trust the numbers: residuals, and where everything came from."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.figures import probe_cost
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure, Section, Table, Text
from fpnprobe.report.tables.cells import Cell
from fpnprobe.report.tables.stored import Stored

TOLERANCE = 1e-5
HALF_TOLERANCE = 1e-3
OVER, UNAUDITED, UNSOUND = "OVER TOLERANCE", "not audited", "UNSOUND"
SPLIT = "holds; values do not split"  # as those of GHM's loss, whose gradients do


def tolerance(cell: Cell) -> float:
    """Residual that a cell may have, by the arithmetic that its probe saw.

    Where an older fpnprobe did not tell: 1e-5, and 1e-3 where training ran in half precision.
    """
    recorded = number((cell.manifest.get("probe") or {}).get("tolerance"))
    if recorded == recorded:
        return recorded
    schedule = (cell.manifest.get("config") or {}).get("schedule") or {}
    return HALF_TOLERANCE if schedule.get("amp") else TOLERANCE


def residuals(stored: Stored) -> pd.DataFrame:
    """Largest relative residual of each cell with its tolerance and verdict."""
    table = stored.gradients.residuals
    if table.empty:
        return table
    limits = {(cell.variant, cell.seed): tolerance(cell) for cell in stored.cells}
    table = table.assign(
        tolerance=[limits[v, s] for v, s in zip(table["variant"], table["seed"], strict=True)]
    )
    limit = table["tolerance"]
    worst = table[["gradient", "routes"]].max(axis=1)
    # The probe judged each sample: values over tolerance beside sound gradients do not split.
    judged = {
        (cell.variant, cell.seed)
        for cell in stored.cells
        if "unsound" in (cell.manifest.get("probe") or {})
    }
    split = [key in judged for key in zip(table["variant"], table["seed"], strict=True)]
    verdict = np.select(
        [
            (table["unsound"] > 0) & (table["unsound"] == table["samples"]),
            worst.isna() & table["loss"].isna(),
            (worst > limit) | ((table["loss"] > limit) & ~pd.Series(split, index=table.index)),
            table["loss"] > limit,
        ],
        [UNSOUND, UNAUDITED, OVER, SPLIT],
        "holds",
    )
    return table.assign(verdict=verdict)


def section(stored: Stored) -> Section:
    """The residual table."""
    table = residuals(stored)
    blocks: list[Block] = [
        Text(
            "Buckets must add up to the loss and to the gradient, and routes to the total. These "
            "are the largest relative residuals of those sums over all sampled iterations."
        )
    ]
    if table.empty:
        blocks.append(Text("Not measured: no ledger.", "hole"))
    else:
        held = int(table["verdict"].isin(["holds", SPLIT]).sum())
        names = ("loss", "gradient", "routes", "tolerance")
        blocks.append(
            Table(
                "residuals",
                "Conservation",
                f"{held} of {len(table)} cells hold their tolerance.",
                table,
                {
                    "variant": "variant", "seed": "seed", "samples": "samples",
                    **{s: s for s in ("unsound", "underflow") if table[s].any()},
                    "nonfinite": "non-finite", "loss": "loss", "gradient": "gradient",
                    "routes": "routes", "tolerance": "tolerance", "verdict": "verdict",
                },
                dict.fromkeys(names, "{:.1e}"),
            )
        )  # fmt: skip
    return Section("soundness", "Do the parts add up", [*blocks, *_cost(stored)])


def _cost(stored: Stored) -> list[Block]:
    """Set the cost of the probe against its budget."""
    records = []
    for cell in stored.done:
        probe = cell.manifest.get("probe") or {}
        records.append(
            {
                "variant": cell.variant,
                "cost": 100 * number(probe.get("cost")),
                "budget": 100 * number(probe.get("budget")),
                "interval": number(probe.get("interval")),
            }
        )
    table = pd.DataFrame(records, columns=["variant", "cost", "budget", "interval"])
    if table["cost"].isna().all():
        return [Text("The cost of the probe was not measured.", "hole")]
    grouped = table.groupby("variant", sort=False)
    table = grouped.mean().assign(seeds=grouped.size()).reset_index()
    over = table[table["cost"] > table["budget"]]
    sentence = (
        f"Over budget: {', '.join(over['variant'])}."
        if len(over)
        else "Every variant kept its budget."
        if table["budget"].notna().any()
        else f"The probe took {table['cost'].max():.1f} % of the training time at most."
    )
    return [
        Figure(
            "probe-cost",
            "What the probe cost",
            sentence
            + " In percent of the training time, as the probe measured itself"
            + ("; upright strokes are budgets." if table["budget"].notna().any() else "."),
            [Panel("", partial(probe_cost.draw, table, colors=stored.colors))],
            table,
            columns=1,
            height=max(50, 30 * len(table)),
            left=118,
            bottom=48,
        )
    ]


def number(value: Any) -> float:
    """The value, or NaN for anything that is no number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else float("nan")
