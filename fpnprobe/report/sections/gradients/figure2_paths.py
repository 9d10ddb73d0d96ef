"""Figure 2 of the paper from the ledger: the ways of the gradient of two variants."""

import re
from collections.abc import Sequence
from functools import partial

import pandas as pd

from fpnprobe.figures import paths
from fpnprobe.figures.svg import Panel
from fpnprobe.figures.wording import percent
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.tables.average_precision import focus
from fpnprobe.report.tables.gradient_shares import bucket_keys, objects
from fpnprobe.report.tables.pyramids import variants_with_pyramid
from fpnprobe.report.tables.share_intervals import measured_on
from fpnprobe.report.tables.stored import Stored

CONSUMERS = ("direct", "auxiliary", "deeper")


def figure(stored: Stored) -> list[Block]:
    """The figure, or nothing where no route was measured."""
    table, levels = objects(stored), objects(stored, tap="P")
    with_pyramid = variants_with_pyramid(table, levels)
    if not levels.empty:
        levels = levels[levels["variant"].isin(with_pyramid)]
        levels = levels[(levels["term"] == "all") & (levels["route"] == "total")]
    table = table[table["route"].isin(CONSUMERS)]
    if table.empty:
        return []
    by_level = table["term"].str.fullmatch(r"L\d+") & (table["route"] == "direct")
    by_level &= table["variant"].isin(with_pyramid)
    table = table[(table["term"] == "all") | by_level]
    source = [re.sub(r"^L", "P", term) if term != "all" else "" for term in table["term"]]
    table = paths.parts(table.assign(source=source))
    if not table["part"].any():
        return []
    pair = [name for name in focus(stored) if (table["variant"] == name).any()]
    main_variants = pair or list(dict.fromkeys(table["variant"]))[:2]
    buckets = list(dict.fromkeys(table["bucket"]))
    drawn = Figure(
        "figure-2",
        "The ways of the gradient, measured (Figure 2 of the paper)",
        _write_caption(table, main_variants, buckets)
        + f" Measured: {measured_on(stored)}."
        + " A ribbon's width is its part of the squared norms that arrive at a stage, so the "
        "ribbons into each stage have the same width together; its color is the object size. Bars "
        "inside the levels are the buckets' shares there; without a pyramid the head is in their "
        "place. Where the levels of a direct gradient are not told apart, its ribbon also brings "
        "what the losses of other levels send through the neck, so it need not divide as the bar "
        "of the level that it is drawn from.",
        [
            Panel(
                name,
                partial(
                    paths.draw,
                    table[table["variant"] == name],
                    levels=_select_variant(levels, name),
                ),
            )
            for name in main_variants
        ],
        table.drop(columns=["state"]),
        keys=bucket_keys(buckets),
        height=318,
        left=4,
        bottom=6,
    )
    other_variants = [name for name in dict.fromkeys(table["variant"]) if name not in main_variants]
    return [drawn, *_draw_others(table, levels, other_variants, buckets)]


def _draw_others(
    table: pd.DataFrame, levels: pd.DataFrame, names: Sequence[str], buckets: Sequence[str]
) -> list[Block]:
    """The same picture of the other variants, smaller."""
    if not names:
        return []
    return [
        Figure(
            "figure-2-others",
            "The ways of the gradient in the other variants",
            f"{_write_caption(table, names, buckets)} Drawn as Figure 2.",
            [
                Panel(
                    name,
                    partial(
                        paths.draw,
                        table[table["variant"] == name],
                        levels=_select_variant(levels, name),
                    ),
                )
                for name in names
            ],
            table[table["variant"].isin(names)].drop(columns=["state"]),
            keys=bucket_keys(buckets),
            height=318,
            left=4,
            bottom=6,
        )
    ]


def _select_variant(levels: pd.DataFrame, name: str) -> pd.DataFrame:
    if levels.empty:
        return pd.DataFrame(columns=["tap", "bucket", "share"])
    return levels[levels["variant"] == name]


def _write_caption(table: pd.DataFrame, variants: Sequence[str], buckets: Sequence[str]) -> str:
    low = min(table[table["part"] > 0]["tap"])
    sentences = []
    for name in variants:
        rows_of_stage = table[(table["variant"] == name) & (table["tap"] == low)]
        route_shares = rows_of_stage.groupby("route")["part"].sum()
        # The share that the tables and the first screen say, a mean over samples.
        big = rows_of_stage[
            (rows_of_stage["route"] == "direct") & (rows_of_stage["bucket"] == buckets[-1])
        ]["share"].sum()
        direct = float(route_shares.get("direct", 0.0))
        here = rows_of_stage[rows_of_stage["bucket"] == buckets[-1]]
        if direct > 0:
            from_largest = (
                ""
                if (here["state"] == "absent").all()
                else f", and {percent(big)} of that is from {buckets[-1]} objects"
            )
            sentences.append(
                f"under {name} {percent(direct)} of the squared norm at {low} is direct"
                f"{from_largest}"
            )
        else:
            sentences.append(
                f"under {name} nothing reaches {low} directly: neither neck nor head reads it"
            )
    text = "; ".join(sentences)
    return text[:1].upper() + text[1:] + "."
