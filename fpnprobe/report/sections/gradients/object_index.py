"""The figure of the all-object index: how evenly a stage hears objects of all sizes."""

from functools import partial

import pandas as pd

from fpnprobe.figures import object_index, routes
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.tables.gradient_shares import (
    variant_keys,
)
from fpnprobe.report.tables.share_intervals import measured_on
from fpnprobe.report.tables.stored import Stored


def figure(stored: Stored) -> list[Block]:
    """Draw the index of every stage by route; nothing where no stage has one."""
    table = stored.stage_gradients.index
    table = table[(table["kind"] == "activation") & table["tap"].str.fullmatch(r"C\d+")]
    table = table.groupby(["variant", "tap", "route"], sort=False)["index"].mean().reset_index()
    if table["index"].isna().all():
        return []
    buckets = len(set(stored.gradients.history["bucket"])) or 3
    names = list(dict.fromkeys(table["variant"]))
    taps = sorted(set(table["tap"]))
    low = min(table.dropna(subset="index")["tap"])
    at = table[table["tap"] == low].dropna(subset="index")
    return [
        Figure(
            "all-object-index",
            "All-object index by stage",
            f"{_tell_reach(at, low, measured_on(stored))}1 means that one object counts as much as "
            f"another whatever its size, 1/{buckets} that a single size is heard. Evenness alone "
            "is no quality: read it beside AP.",
            [
                Panel(
                    route,
                    partial(
                        object_index.draw,
                        rows_of_route,
                        colors=stored.colors,
                        taps=taps,
                        buckets=buckets,
                    ),
                )
                for route in routes.ROUTES
                for rows_of_route in [table[table["route"] == route]]
                if rows_of_route["index"].notna().any()
            ],
            table,
            keys=variant_keys(stored, names),
            height=170,
            left=48,
            right=76,
        )
    ]


def _tell_reach(table: pd.DataFrame, tap: str, measured: str) -> str:
    """From which variant to which the index reaches at a stage, in total and directly."""
    clauses = []
    for route, words in (("total", "in total"), ("direct", "by the direct route")):
        by_index = table[table["route"] == route].sort_values("index", kind="stable")
        ends = [f"{row[2]:.2f} ({row[1]})" for row in by_index[["variant", "index"]].itertuples()]
        if len(ends) > 1:
            clauses.append(f"{words} from {ends[0]} to {ends[-1]}")
        elif ends:
            clauses.append(f"{words} {ends[0]}")
    return f"At {tap} ({measured}), {'; '.join(clauses)}. " if clauses else ""
