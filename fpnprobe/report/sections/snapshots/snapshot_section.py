"""The section on kept weights: one set of images, measured as training goes on."""

from functools import partial

import pandas as pd

from fpnprobe.figures import kept_weights
from fpnprobe.figures.columns import rows, split
from fpnprobe.figures.routes import ROUTES
from fpnprobe.figures.svg import Panel
from fpnprobe.figures.wording import scientific
from fpnprobe.report.page.content import Block, Figure, Section, Text
from fpnprobe.report.sections.snapshots import snapshot_numbers
from fpnprobe.report.sections.soundness import TOLERANCE
from fpnprobe.report.tables.gradient_shares import variant_keys
from fpnprobe.report.tables.snapshots import measured
from fpnprobe.report.tables.stored import Stored

_KEYS = ["variant", "tap", "route", "quantity", "bucket", "trained"]


def section(stored: Stored) -> Section | None:
    """Shares and index by iterations trained; None where no cell kept weights."""
    table = stored.kept
    if table.empty:
        return None
    averaged = means(stored)
    blocks: list[Block] = [
        Text(
            "Ledgers of a training compare different images at different moments. Here the same "
            "validation images go through the weights kept on the way, so what changes is the "
            "model alone."
        ),
        *_name_holes(stored),
        *_draw_shares(stored, averaged),
        *_draw_index(stored, averaged),
        snapshot_numbers.table(averaged),
    ]
    return Section("kept-weights", "The same images, as training goes on", blocks)


def means(stored: Stored) -> pd.DataFrame:
    """Mean over seeds with the lowest and the highest: value, low, high, seeds."""
    values = stored.kept.groupby(_KEYS, sort=False)["value"]
    table = values.agg(value="mean", low="min", high="max", seeds="count").reset_index()
    order = {
        "variant": {name: at for at, name in enumerate(stored.variants)},
        "route": {name: at for at, name in enumerate(ROUTES)},
        "bucket": {name: at for at, name in enumerate(["", *stored.buckets])},
        "quantity": {"share": 0, "index": 1},
    }
    return table.sort_values(
        ["variant", "tap", "route", "quantity", "bucket", "trained"],
        key=lambda column: column.map(lambda name: order.get(str(column.name), {}).get(name, name)),
        kind="stable",
        ignore_index=True,
    )


def _name_holes(stored: Stored) -> list[Block]:
    """Finished cells that were not measured, and sums that do not hold."""
    result: list[Block] = []
    without = [f"{c.variant}, seed {c.seed}" for c in stored.done if not measured(c)]
    if without:
        result.append(Text(f"Not measured: {'; '.join(without)}.", "hole"))
    over = [
        f"{row.variant}, seed {row.seed} after {row.trained} iterations ({row.residual:.0e})"
        for row in rows(stored.kept.drop_duplicates(["variant", "seed", "trained"]))
        if row.residual > TOLERANCE  # measured in float32, whatever the training was
    ]
    if over:
        result.append(Text(f"Over tolerance, do not use: {'; '.join(over)}.", "hole"))
    return result


def _draw_shares(stored: Stored, table: pd.DataFrame) -> list[Block]:
    name = stored.buckets[-1]
    table = table[(table["quantity"] == "share") & (table["bucket"] == name)].dropna(subset="value")
    if table.empty:
        return []
    table = table.assign(**{column: 100 * table[column] for column in ("value", "low", "high")})
    low = min(table["tap"])
    worst = stored.kept["residual"].max()
    return [
        _make_figure(
            stored,
            "kept-shares",
            f"Share of {name} objects by stage, route and iterations trained, percent",
            f"{_tell_change(table[table['tap'] == low], f'{name} objects at {low}')} Lines are "
            "means over seeds, bands reach from the lowest to the highest seed."
            + (f" The sums hold to {scientific(worst)}." if worst == worst else ""),
            table,
            f"{name} objects",
            " %",
            (0.0, 100.0),
        )
    ]


def _tell_change(table: pd.DataFrame, what: str) -> str:
    """From the first to the last weights, in total."""
    clauses = []
    for name, rows_of_variant in split(table[table["route"] == "total"], "variant"):
        line = rows_of_variant.sort_values("trained")
        first, last = line["value"].iloc[0], line["value"].iloc[-1]
        clauses.append(
            f"{name} {first:.0f} → {last:.0f} %" if len(line) > 1 else f"{name} {last:.0f} %"
        )
    if not clauses:
        return ""
    after = sorted(set(table["trained"]))
    when = f"from {after[0]} to {after[-1]} iterations" if len(after) > 1 else f"after {after[0]}"
    return f"In total, {when}, {what} hold: {', '.join(clauses)}."


def _draw_index(stored: Stored, table: pd.DataFrame) -> list[Block]:
    table = table[table["quantity"] == "index"].dropna(subset="value")
    if table.empty:
        return []
    count = len(stored.buckets)
    last = table[table["trained"] == table["trained"].max()]
    last = last[(last["tap"] == min(table["tap"])) & (last["route"] == "total")]
    ranked = last.sort_values("value", ascending=False, kind="stable")
    best = next(rows(ranked), None)
    return [
        _make_figure(
            stored,
            "kept-index",
            "All-object index by stage, route and iterations trained",
            (
                f"With the last weights, {best.variant} hears objects most evenly at {best.tap} "
                f"({best.value:.2f}). "
                if best is not None and len(last) > 1
                else ""
            )
            + f"1 means that one object counts as much as another whatever its size, 1/{count} "
            "that a single size is heard.",
            table,
            "all-object index",
            "",
            (1 / count - 0.02, 1.02),
        )
    ]


def _make_figure(
    stored: Stored,
    name: str,
    title: str,
    caption: str,
    table: pd.DataFrame,
    what: str,
    unit: str,
    limits: tuple[float, float],
) -> Figure:
    panels = []
    for route in ROUTES:
        rows_of_route = table[table["route"] == route].sort_values("tap", kind="stable")
        panels += [
            Panel(
                f"{tap} {route}",
                partial(
                    kept_weights.draw, rows_of_tap, colors=stored.colors,
                    what=f"{tap} {route}, {what}", unit=unit, limits=limits,
                ),
                new_row=not at,
            )
            for at, (tap, rows_of_tap) in enumerate(split(rows_of_route, "tap"))
        ]  # fmt: skip
    columns = ["variant", "tap", "route", "bucket", "trained", "value", "low", "high", "seeds"]
    return Figure(
        name, title, caption, panels, table[columns], keys=variant_keys(stored, table["variant"]),
        columns=table["tap"].nunique(), narrow=1, height=110, left=48, right=70, bottom=48,
        share="xy",
    )  # fmt: skip
