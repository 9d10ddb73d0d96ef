"""The figure of the learning rate over a training, by variant where they differ."""

from functools import partial

from fpnprobe.figures import curves
from fpnprobe.figures.columns import split
from fpnprobe.figures.palette import INK
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.tables.gradient_shares import variant_keys
from fpnprobe.report.tables.stored import Stored


def figure(stored: Stored) -> list[Block]:
    """Draw the schedule; nothing where no training kept its rate."""
    table = stored.training
    table = table[table["name"] == "lr"]
    if table.empty:
        return []
    schedules: dict[tuple[tuple[float, float], ...], list[str]] = {}
    for variant, rows in split(table, "variant"):
        curve = rows.sort_values("iteration")[["iteration", "value"]].to_numpy(float)
        schedules.setdefault(
            tuple((round(at), float(f"{rate:.4g}")) for at, rate in curve), []
        ).append(variant)
    first_variants = [names[0] for names in schedules.values()]
    same = len(schedules) == 1
    drawn = table[table["variant"].isin(first_variants)]
    if same:
        drawn = drawn.assign(variant="all variants")
    return [
        Figure(
            "learning-rate",
            "Learning rate",
            (
                "One schedule for all variants, so it explains no difference between them."
                if same
                else "Not every variant had the same schedule: "
                + "; ".join(", ".join(names) for names in schedules.values())
                + ". A difference between them may be the schedule's."
            )
            + f" It peaks at {table['value'].max():.2g}.",
            [
                Panel(
                    "",
                    partial(
                        curves.draw,
                        drawn,
                        colors={**stored.colors, "all variants": INK},
                        what="learning rate",
                    ),
                )
            ],
            table,
            keys=[] if same else variant_keys(stored, first_variants),
            columns=1,
            height=90,
            left=52,
            right=76,
            bottom=48,
        )
    ]
