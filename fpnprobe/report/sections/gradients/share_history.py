"""The figure of gradient shares over a training, seeds of a variant on common iterations."""

from functools import partial

import pandas as pd

from fpnprobe.figures import share_history
from fpnprobe.figures.columns import split
from fpnprobe.figures.legend import Key
from fpnprobe.figures.palette import MUTED
from fpnprobe.figures.svg import Panel
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.tables.gradient_shares import (
    bucket_keys,
    first_stage,
    stage_shares,
)
from fpnprobe.report.tables.stored import Stored


def figure(stored: Stored) -> list[Block]:
    """Draw the shares at the first stage over the training; nothing for a single sample."""
    table = stored.gradients.history
    if table.empty or table["iteration"].nunique() < 2:
        return []
    table = table[table["route"].isin(["total", "direct"])]
    # a size without an object in any sample has no share
    table = table[table.groupby(["variant", "bucket"])["share"].transform("count") > 0]
    low = first_stage(stage_shares(stored))
    keys = ["variant", "tap", "route", "bucket", "iteration"]
    seeds = _align_seeds(table[table["tap"] == low]).groupby(keys, sort=False)
    table = seeds.agg(share=("share", "mean"), points=("points", "sum")).reset_index()
    buckets, largest = list(dict.fromkeys(table["bucket"])), stored.buckets[-1]
    moved = []
    for name, rows_of_variant in split(table[table["route"] == "total"], "variant"):
        line = (
            rows_of_variant[rows_of_variant["bucket"] == largest]
            .sort_values("iteration")["share"]
            .to_numpy()
        )
        few = -(-len(line) // 4)
        if len(line) > 1:
            moved.append(f"{name} {signed(100 * (line[-few:].mean() - line[:few].mean()), 0)}")
    direct = (table["route"] == "direct").any()
    keys_shown = bucket_keys(buckets) + (
        [Key("total", MUTED, "line"), Key("direct", MUTED, "dash")] if direct else []
    )
    return [
        Figure(
            "share-history",
            f"Gradient share at {low} while training, percent",
            (
                f"From the first to the last quarter of training, the share of {largest} "
                f"objects at {low} moves by so many points: {', '.join(moved)}. "
                if moved
                else ""
            )
            + "Full lines are the total; a dot stands for the samples of one stretch, of a few "
            "images each, so single dots scatter.",
            [
                Panel(name, partial(share_history.draw, rows_of_variant))
                for name, rows_of_variant in split(table, "variant")
            ],
            table,
            keys=keys_shown,
            height=150,
            left=48,
            bottom=48,
        )
    ]


def _align_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Seeds of a variant on common iterations: a budget may probe each at others of its own.

    Where they differ, the training is cut into as many equal stretches as the seed with the fewest
    samples has, and the samples of a stretch stand at their mean iteration.
    """
    aligned = table
    for _, rows_of_variant in split(table, "variant"):
        probed = [sorted(set(rows["iteration"])) for _, rows in rows_of_variant.groupby("seed")]
        if any(steps != probed[0] for steps in probed):
            count, last = min(map(len, probed)), max(steps[-1] for steps in probed)
            stretch = (rows_of_variant["iteration"] * count / (last + 1)).astype(int)
            middle = rows_of_variant["iteration"].groupby(stretch).transform("mean")
            iteration = aligned["iteration"].astype(float)
            iteration.loc[middle.index] = middle
            aligned = aligned.assign(iteration=iteration)
    if aligned is table:
        return table
    order = {name: at for at, name in enumerate(dict.fromkeys(table["variant"]))}
    return aligned.sort_values("iteration", kind="stable").sort_values(
        "variant", key=lambda names: names.map(order), kind="stable"
    )
