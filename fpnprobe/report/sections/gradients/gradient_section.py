"""The section on gradients: whose gradient reaches each stage, and by which route."""

from functools import partial

from fpnprobe.figures import routes
from fpnprobe.figures.columns import rows, split
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure, Section, Text
from fpnprobe.report.sections.gradients import (
    association,
    figure2_paths,
    held_back,
    object_index,
    route_cosines,
    share_history,
    size_conflict,
    update_shares,
)
from fpnprobe.report.tables.gradient_shares import (
    bucket_keys,
    first_stage,
    name_frozen,
    stage_shares,
)
from fpnprobe.report.tables.share_intervals import measured_on, sampled_over, share_intervals
from fpnprobe.report.tables.stored import Stored

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
        *object_index.figure(stored),
        *share_history.figure(stored),
        *size_conflict.figure(stored),
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
            + (f"; {frozen}" if (frozen := name_frozen(at)) else "")
            + ". "
        )
    return Figure(
        "routes",
        "Stage × bucket × route",
        f"{sentence}Each number is a bucket's share in percent of what arrives at a stage by a "
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
