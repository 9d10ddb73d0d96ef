"""The section on gradients: whose gradient reaches each stage, and by which route."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from fpnprobe.figures import conflict, object_index, paths, prediction, routes, share_history
from fpnprobe.figures.columns import split
from fpnprobe.figures.palette import MUTED, bucket_color, variant_color
from fpnprobe.figures.svg import Key, Panel
from fpnprobe.report.content import Block, Figure, Section, Text
from fpnprobe.report.results import baseline, final, focus
from fpnprobe.report.stored import Stored
from fpnprobe.scales import BACKGROUND
from fpnprobe.statistics import rank_correlation

TITLE = "Whose gradient reaches each stage"
CONSUMERS = ("direct", "auxiliary", "deeper")


def objects(stored: Stored, *, kind: str = "activation", tap: str = "C") -> pd.DataFrame:
    """Mean over seeds of `l2` and `share` by variant, tap, route, term and object bucket."""
    table = stored.gradients.shares
    if table.empty:
        return table
    table = table[
        (table["kind"] == kind)
        & table["tap"].str.fullmatch(rf"{tap}\d+")
        & ~table["bucket"].isin([BACKGROUND, "all"])
    ]
    order = ["variant", "tap", "route", "term", "bucket"]
    return (
        table.groupby(order, sort=False)
        .agg(l2=("l2", "mean"), share=("share", "mean"), state=("state", "first"))
        .reset_index()
    )


def stage_shares(stored: Stored) -> pd.DataFrame:
    """Share by variant, backbone stage, route and object bucket of the whole loss."""
    table = objects(stored)
    return table if table.empty else table[table["term"] == "all"].drop(columns="term")


def section(stored: Stored) -> Section:
    """Figure 2 measured, the heat map, index, history, conflict, and what predicts AP."""
    table = stage_shares(stored)
    if table.empty:
        hole = Text("Not measured: no cell of this study has a readable ledger.", "hole")
        return Section("gradients", TITLE, [hole])
    blocks: list[Block] = [
        Text(
            "A stage's gradient arrives by up to three routes: directly from the neck, from an "
            "auxiliary head, and from the deeper stages. Their sum is the total. Each part is "
            "told apart by the size of the object it belongs to."
        ),
        *_paths(stored),
        _heat_map(table),
        *_index(stored),
        *_history(stored),
        *_conflict(stored),
        *_prediction(stored, table),
    ]
    return Section("gradients", TITLE, blocks)


def bucket_keys(buckets: Sequence[str]) -> list[Key]:
    """Legend of the buckets."""
    return [Key(name, bucket_color(name, buckets)) for name in buckets]


def variant_keys(names: Sequence[str], shape: str = "line") -> list[Key]:
    """Legend of variants, the names as they are."""
    return [
        Key(name if len(name) < 40 else name[:39] + "…", variant_color(name), shape)
        for name in names
    ]


def _paths(stored: Stored) -> list[Block]:
    table, levels = objects(stored), objects(stored, tap="P")
    if not levels.empty:
        levels = levels[(levels["term"] == "all") & (levels["route"] == "total")]
    table = table[table["route"].isin(CONSUMERS)]
    if table.empty:
        return []
    by_level = table["term"].str.fullmatch(r"L\d+") & (table["route"] == "direct")
    table = table[(table["term"] == "all") | by_level]
    source = [re.sub(r"^L", "P", term) if term != "all" else "" for term in table["term"]]
    table = paths.parts(table.assign(source=source))
    pair = [name for name in focus(stored) if (table["variant"] == name).any()]
    shown = pair or list(dict.fromkeys(table["variant"]))[:2]
    buckets = list(dict.fromkeys(table["bucket"]))
    figure = Figure(
        "figure-2",
        "The ways of the gradient, measured (Figure 2 of the paper)",
        _paths_caption(table, shown, buckets)
        + " A ribbon's width is its part of the squared norms that arrive at a stage, so the "
        "ribbons into each stage have the same width together; its color is the object size. Bars "
        "inside the levels are the buckets' shares there.",
        [
            Panel(
                name,
                partial(
                    paths.draw,
                    table[table["variant"] == name],
                    levels=_of(levels, name),
                ),
            )
            for name in shown
        ],
        table.drop(columns=["state"]),
        keys=bucket_keys(buckets),
        height=318,
        left=4,
        bottom=6,
    )
    return [figure]


def _of(levels: pd.DataFrame, name: str) -> pd.DataFrame:
    if levels.empty:
        return pd.DataFrame(columns=["tap", "bucket", "share"])
    return levels[levels["variant"] == name]


def _paths_caption(table: pd.DataFrame, shown: Sequence[str], buckets: Sequence[str]) -> str:
    low = min(table["tap"])
    said = []
    for name in shown:
        here = table[(table["variant"] == name) & (table["tap"] == low)]
        part = here.groupby("route")["part"].sum()
        big = here[(here["route"] == "direct") & (here["bucket"] == buckets[-1])]["part"].sum()
        direct = float(part.get("direct", 0.0))
        if direct > 0:
            said.append(
                f"under {name} {100 * direct:.0f} % of {low}'s gradient is direct, and "
                f"{100 * big / direct:.0f} % of that is from {buckets[-1]} objects"
            )
        else:
            said.append(f"under {name} nothing reaches {low} directly")
    text = "; ".join(said)
    return text[:1].upper() + text[1:] + "."


def _heat_map(table: pd.DataFrame) -> Block:
    buckets = list(dict.fromkeys(table["bucket"]))
    low = min(table["tap"])
    at = table[
        (table["tap"] == low) & (table["bucket"] == buckets[-1]) & (table["route"] == "total")
    ]
    parts = [
        f"{name} {100 * rows['share'].iloc[0]:.0f} %"
        for name, rows in split(at, "variant")
        if rows["share"].notna().all()
    ]
    return Figure(
        "routes",
        "Stage × bucket × route",
        (f"Of the whole object gradient at {low}, {buckets[-1]} objects hold: " if parts else "")
        + ", ".join(parts)
        + (". " if parts else "")
        + "Each cell is a bucket's share in percent of what arrives at a stage by a route; each "
        "triple adds up to 100. Background is left out.",
        [Panel(name, partial(routes.draw, rows)) for name, rows in split(table, "variant")],
        table,
        keys=bucket_keys(buckets),
        height=38 * table["tap"].nunique() + 40,
        left=30,
        bottom=14,
    )


def _index(stored: Stored) -> list[Block]:
    table = stored.gradients.index
    table = table[(table["kind"] == "activation") & table["tap"].str.fullmatch(r"C\d+")]
    table = table.groupby(["variant", "tap", "route"], sort=False)["index"].mean().reset_index()
    if table["index"].isna().all():
        return []
    buckets = len(set(stored.gradients.history["bucket"])) or 3
    names = list(dict.fromkeys(table["variant"]))
    taps = sorted(set(table["tap"]))
    low = taps[0]
    total = table[(table["tap"] == low) & (table["route"] == "total")].dropna(subset="index")
    best: Any = total.loc[total["index"].idxmax()] if len(total) else None
    return [
        Figure(
            "all-object-index",
            "All-object index by stage",
            (
                f"In total, {best['variant']} hears objects most evenly at {low} "
                f"({best['index']:.2f}). "
                if best is not None
                else ""
            )
            + f"1 means that one object counts as much as another whatever its size, 1/{buckets} "
            "that a single size is heard. Evenness alone is no quality: read it beside AP.",
            [
                Panel(route, partial(object_index.draw, rows, taps=taps, buckets=buckets))
                for route in routes.ROUTES
                for rows in [table[table["route"] == route]]
                if rows["index"].notna().any()
            ],
            table,
            keys=variant_keys(names),
            height=170,
            left=34,
        )
    ]


def _history(stored: Stored) -> list[Block]:
    table = stored.gradients.history
    if table.empty:
        return []
    low = min(tap for tap in set(table["tap"]) if tap.startswith("C"))
    keys = ["variant", "tap", "route", "bucket", "iteration"]
    table = table[table["tap"] == low].groupby(keys, sort=False)
    table = table.agg(share=("share", "mean"), points=("points", "sum")).reset_index()
    buckets = list(dict.fromkeys(table["bucket"]))
    moved = []
    for name, rows in split(table[table["route"] == "total"], "variant"):
        line = rows[rows["bucket"] == buckets[-1]].sort_values("iteration")["share"].to_numpy()
        if len(line) > 1:
            moved.append(f"{name} {100 * line[0]:.0f} → {100 * line[-1]:.0f} %")
    direct = (table["route"] == "direct").any()
    keys_shown = bucket_keys(buckets) + ([Key("direct: dashed", MUTED, "line")] if direct else [])
    return [
        Figure(
            "share-history",
            f"Gradient share at {low} over training, percent",
            (f"From first to last, {buckets[-1]} objects at {low}: " if moved else "")
            + ", ".join(moved)
            + (". " if moved else "")
            + "Full lines are the total; a dot stands for the samples of one stretch.",
            [
                Panel(name, partial(share_history.draw, rows))
                for name, rows in split(table, "variant")
            ],
            table,
            keys=keys_shown,
            height=150,
            left=34,
            bottom=48,
        )
    ]


def _conflict(stored: Stored) -> list[Block]:
    table = stored.gradients.conflict
    if table.empty:
        return []
    table = table[table["kind"] == "activation"]
    table = table[table["tap"].str.fullmatch(r"C\d+") & (table["bucket_a"] != table["bucket_b"])]
    skip = {BACKGROUND, "all"}
    table = table[~table["bucket_a"].isin(skip) & ~table["bucket_b"].isin(skip)]
    order = list(dict.fromkeys(stored.gradients.history["bucket"]))
    table = table.groupby(["variant", "tap", "bucket_a", "bucket_b"], sort=False)["cosine"].mean()
    table = table.reset_index()
    place = [*order, *sorted({*table["bucket_a"], *table["bucket_b"]} - set(order))]
    table = table.sort_values(["bucket_a", "bucket_b"], key=lambda c: c.map(place.index))
    table = table.sort_values("variant", key=lambda c: c.map(stored.variants.index), kind="stable")
    if table.empty or table["cosine"].isna().all():
        return []
    worst: Any = table.loc[table["cosine"].idxmin()]
    said = (
        f"The strongest conflict is between {worst['bucket_a']} and {worst['bucket_b']} objects "
        f"at {worst['tap']} of {worst['variant']} (cosine {worst['cosine']:.2f})."
        if worst["cosine"] < -0.05
        else "No two sizes pull a stage against each other: all cosines are above −0.05."
    )
    return [
        Figure(
            "conflict",
            "Conflict between sizes",
            said.replace("cosine -", "cosine −") + " Blue pairs agree, red pairs disagree; "
            "near zero, the two sizes train different directions.",
            [Panel(name, partial(conflict.draw, rows)) for name, rows in split(table, "variant")],
            table,
            height=34 * table["tap"].nunique() + 20,
            left=30,
            bottom=12,
        )
    ]


def _prediction(stored: Stored, shares: pd.DataFrame) -> list[Block]:
    """AP_L of each cell over the large objects' share at the first stage."""
    ap = final(stored)
    table = stored.gradients.shares
    buckets = list(dict.fromkeys(shares["bucket"]))
    low = min(shares["tap"])
    table = table[
        (table["kind"] == "activation")
        & (table["term"] == "all")
        & (table["tap"] == low)
        & (table["bucket"] == buckets[-1])
    ]
    ap = ap[ap["metric"] == "AP_L"][["variant", "seed", "value"]].rename(columns={"value": "ap"})
    table = table.merge(ap, on=["variant", "seed"])
    table = table.assign(share=100 * table["share"])[["variant", "seed", "route", "share", "ap"]]
    table = table[table["route"].isin(["total", "direct"])].dropna()
    if len(table) < 3 or table["variant"].nunique() < 2:
        return []
    said = []
    for route, rows in split(table, "route"):
        found = rank_correlation(rows["share"], rows["ap"], clusters=list(rows["variant"]))
        if found.note:
            said.append(f"{route}: {found.note}")
        else:
            said.append(
                f"{route}: rank correlation {found.rho:.2f} "
                f"(95 % interval {found.low:.2f} to {found.high:.2f})"
            )
    return [
        Figure(
            "prediction",
            f"Does the share of {buckets[-1]} objects at {low} go with AP_L",
            "; ".join(said).replace("-", "−").capitalize()
            + f". A dot is a cell; {baseline(stored)} is the baseline. Correlation over variants "
            "is no proof of a cause; interventions are.",
            [
                Panel(
                    f"AP_L over the {route} share, %",
                    partial(prediction.draw, rows, y="AP_L"),
                )
                for route, rows in split(table, "route")
            ],
            table,
            keys=variant_keys(list(dict.fromkeys(table["variant"])), "box"),
            height=190,
            left=34,
        )
    ]
