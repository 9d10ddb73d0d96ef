"""The section on gradients: whose gradient reaches each stage, and by which route."""

from functools import partial

import pandas as pd

from fpnprobe.figures import routes
from fpnprobe.figures.palette import bucket_color
from fpnprobe.figures.svg import Key, Panel
from fpnprobe.report.content import Block, Figure, Section, Text
from fpnprobe.report.stored import Stored
from fpnprobe.scales import BACKGROUND

TITLE = "Whose gradient reaches each stage"


def stage_shares(stored: Stored, kind: str = "activation") -> pd.DataFrame:
    """Share by variant, backbone stage, route and object bucket, averaged over seeds."""
    table = stored.gradients.shares
    if table.empty:
        return table
    table = table[
        (table["term"] == "all")
        & (table["kind"] == kind)
        & table["tap"].str.fullmatch(r"C\d+")
        & ~table["bucket"].isin([BACKGROUND, "all"])
    ]
    return (
        table.groupby(["variant", "tap", "route", "bucket"], sort=False)
        .agg(share=("share", "mean"), state=("state", "first"))
        .reset_index()
    )


def section(stored: Stored) -> Section:
    """The heat map of shares."""
    table = stage_shares(stored)
    if table.empty:
        hole = Text("Not measured: no cell of this study has a ledger.", "hole")
        return Section("gradients", TITLE, [hole])
    return Section("gradients", TITLE, [heat_map(table)])


def heat_map(table: pd.DataFrame) -> Block:
    """Stage x bucket x route, one panel per variant."""
    buckets = list(dict.fromkeys(table["bucket"]))
    taps = table["tap"].nunique()
    low = min(table["tap"])
    direct = table[(table["route"] == "direct") & (table["tap"] == low)]
    parts = [
        f"{variant} {100 * rows['share'].iloc[0]:.0f} %"
        for variant, rows in direct[direct["bucket"] == buckets[-1]].groupby("variant", sort=False)
        if rows["share"].notna().all()
    ]
    said = (
        f"By the direct route, {buckets[-1]} objects hold this share of the gradient at {low}: "
        + ", ".join(parts)
        + ". "
        if parts
        else f"No variant has a direct route to {low}. "
    )
    return Figure(
        "routes",
        "Stage × bucket × route",
        said + "Each cell is a bucket's share (percent) of the object gradient that arrives at a "
        "stage by a route; each triple adds up to 100, background is left out.",
        [
            Panel(str(variant), partial(routes.draw, rows))
            for variant, rows in table.groupby("variant", sort=False)
        ],
        table,
        keys=[Key(name, bucket_color(name, buckets)) for name in buckets],
        height=38 * taps + 40,
        left=30,
        bottom=14,
    )
