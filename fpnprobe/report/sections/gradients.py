"""The section on gradients: whose gradient reaches each stage, and by which route."""

from functools import partial

import pandas as pd

from fpnprobe.figures import conflict, object_index, routes, share_history
from fpnprobe.figures.columns import largest, rows, split
from fpnprobe.figures.legend import Key
from fpnprobe.figures.palette import MUTED
from fpnprobe.figures.svg import Panel
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Block, Figure, Section, Text
from fpnprobe.report.sections import (
    association,
    figure2_paths,
    held_back,
    route_cosines,
    update_shares,
)
from fpnprobe.report.tables.gradient_shares import (
    bucket_keys,
    first_stage,
    stage_shares,
    variant_keys,
)
from fpnprobe.report.tables.read_studies import Stored
from fpnprobe.report.tables.share_intervals import measured_on, sampled_over, share_intervals
from fpnprobe.scales import BACKGROUND

TITLE = "Whose gradient reaches each stage"


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
        *figure2_paths.figure(stored),
        _heat_map(stored),
        *_index(stored),
        *_history(stored),
        *_conflict(stored),
        *route_cosines.table(stored),
        *update_shares.table(stored),
        *association.figure(stored),
        *association.correlations(stored),
        *held_back.table(stored),
    ]
    return Section("gradients", TITLE, blocks)


def _heat_map(stored: Stored) -> Block:
    table = share_intervals(stored)
    buckets = list(dict.fromkeys(table["bucket"]))
    low = first_stage(table)
    at = table[
        (table["tap"] == low) & (table["bucket"] == buckets[-1]) & (table["route"] == "total")
    ].dropna(subset="share")
    sentence = ", ".join(
        f"{row.variant} {100 * row.share:.0f} %"
        + (f" ({100 * row.low:.0f} to {100 * row.high:.0f})" if row.low == row.low else "")
        for row in rows(at)
    )
    if sentence:
        sentence = (
            f"Of the squared gradient norm of all objects at {low}, {buckets[-1]} objects hold: "
            f"{sentence}; {measured_on(stored)}"
            + (
                f", 95 % intervals over {sampled_over(at, stored)}"
                if at["low"].notna().any()
                else ""
            )
            + ". "
        )
    return Figure(
        "routes",
        "Stage × bucket × route",
        f"{sentence}Each cell is a bucket's share in percent of what arrives at a stage by a "
        "route; each triple adds up to 100. Background is left out.",
        [
            Panel(name, partial(routes.draw, rows_of_variant))
            for name, rows_of_variant in split(table, "variant")
        ],
        table.assign(measured=measured_on(stored)),
        keys=bucket_keys(buckets),
        height=38 * table["tap"].nunique() + 40,
        left=30,
        bottom=14,
    )


def _index(stored: Stored) -> list[Block]:
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
            f"{_reaches(at, low, measured_on(stored))}1 means that one object counts as much as "
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


def _reaches(table: pd.DataFrame, tap: str, measured: str) -> str:
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


def _history(stored: Stored) -> list[Block]:
    table = stored.gradients.history
    if table.empty or table["iteration"].nunique() < 2:
        return []
    table = table[table["route"].isin(["total", "direct"])]
    low = first_stage(stage_shares(stored))
    keys = ["variant", "tap", "route", "bucket", "iteration"]
    seeds = _aligned(table[table["tap"] == low]).groupby(keys, sort=False)
    table = seeds.agg(share=("share", "mean"), points=("points", "sum")).reset_index()
    buckets = list(dict.fromkeys(table["bucket"]))
    moved = []
    for name, rows_of_variant in split(table[table["route"] == "total"], "variant"):
        line = (
            rows_of_variant[rows_of_variant["bucket"] == buckets[-1]]
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
                f"From the first to the last quarter of training, the share of {buckets[-1]} "
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


def _aligned(table: pd.DataFrame) -> pd.DataFrame:
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


def _conflict(stored: Stored) -> list[Block]:
    table = stored.gradients.conflict
    if table.empty:
        return []
    table = table[table["kind"] == "activation"]
    table = table[table["tap"].str.fullmatch(r"C\d+") & (table["bucket_a"] != table["bucket_b"])]
    skip = {BACKGROUND, "all"}
    table = table[~table["bucket_a"].isin(skip) & ~table["bucket_b"].isin(skip)]
    keys = ["variant", "tap", "bucket_a", "bucket_b"]
    table = table.groupby(keys, sort=False).agg(cosine=("cosine", "mean")).reset_index()
    order = {name: at for at, name in enumerate(stored.buckets)}
    for column in ("bucket_b", "bucket_a"):
        order_of_bucket = [order.get(name, len(order)) for name in table[column]]
        table = (
            table.assign(place=order_of_bucket)
            .sort_values("place", kind="stable")
            .drop(columns="place")
        )
    if table.empty or table["cosine"].isna().all():
        return []
    worst = largest(table.assign(against=-table["cosine"]), "against")
    sentence = (
        f"The strongest conflict is between {worst.bucket_a} and {worst.bucket_b} objects "
        f"at {worst.tap} of {worst.variant} (cosine {worst.cosine:.2f})."
        if worst.cosine < -0.05
        else "No two sizes pull a stage against each other: all cosines are above −0.05."
    )
    return [
        Figure(
            "conflict",
            "Conflict between sizes",
            sentence.replace("cosine -", "cosine −") + " Blue pairs agree, red pairs disagree; "
            "near zero, the two sizes train different directions.",
            [
                Panel(name, partial(conflict.draw, table[table["variant"] == name]))
                for name in stored.variants
                if (table["variant"] == name).any()
            ],
            table,
            height=34 * table["tap"].nunique() + 20,
            left=30,
            bottom=12,
        )
    ]
