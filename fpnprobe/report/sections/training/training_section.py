"""The section on how training went: learning curves, losses, learning rate, uncertainty."""

from functools import partial

import pandas as pd

from fpnprobe.figures import curves
from fpnprobe.figures.columns import split
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure, Section
from fpnprobe.report.sections.average_precision.ap_panels import SIZES
from fpnprobe.report.sections.training import learning_rate, training_losses, uncertainty
from fpnprobe.report.tables.average_precision import METRICS
from fpnprobe.report.tables.gradient_shares import variant_keys
from fpnprobe.report.tables.stored import Stored


def section(stored: Stored) -> Section | None:
    """Whatever of it was kept; None if nothing was."""
    blocks = [
        *_draw_learning_curves(stored),
        *training_losses.figure(stored),
        *learning_rate.figure(stored),
        *uncertainty.figure(stored),
    ]
    return Section("training", "How training went", blocks) if blocks else None


def _draw_learning_curves(stored: Stored) -> list[Block]:
    table = stored.evaluation
    if table.empty:
        return []
    table = table[(table["iou_type"] == stored.iou_type) & table["metric"].isin(METRICS)]
    keys = ["variant", "metric", "iteration"]
    table = table.groupby(keys, sort=False)["value"].agg(value="mean", seeds="count").reset_index()
    if table.empty or table.groupby("variant")["iteration"].nunique().max() < 2:
        return []
    table["value"] *= 100
    panels = [
        Panel(
            f"{stored.name_metric(metric)}, {SIZES[metric]}",
            partial(
                curves.draw,
                table[table["metric"] == metric],
                colors=stored.colors,
                what=stored.name_metric(metric),
                unit="AP, points",
            ),
        )
        for metric in METRICS
        if (table["metric"] == metric).any()
    ]
    return [
        Figure(
            "learning-curves",
            "Learning curves",
            _tell_progress(table[table["metric"] == "AP"]) + " Mean over seeds, in AP points.",
            panels,
            table,
            keys=variant_keys(stored, table["variant"]),
            height=140,
            left=48,
            right=76,
            bottom=48,
        )
    ]


def _tell_progress(table: pd.DataFrame) -> str:
    """Say whose AP never left 0, and whose still rose at the end."""
    nothing, rising, settled = [], [], []
    for name, rows in split(table, "variant"):
        line = rows.sort_values("iteration")["value"].to_numpy()
        if len(line) and line.max() <= 0:
            nothing.append(name)
        elif len(line) > 1 and line[-1] > 1.03 * line[-2]:
            rising.append(name)
        else:
            settled.append(name)
    sentences = []
    if nothing:
        whose = f"AP of {', '.join(nothing)}" if rising or settled else "AP"
        sentences.append(f"{whose} was 0 throughout: nothing was learned yet.")
    if rising:
        sentences.append(
            f"{', '.join(rising)} still improved at the end: longer training may change the "
            "ranking."
        )
    elif settled:
        other = "other " if nothing else ""
        sentences.append(f"AP had settled for every {other}variant by the end.")
    return " ".join(sentences)
