"""The section on AP: bars by size, differences to the baseline, the numbers as a table."""

import numpy as np
import pandas as pd

from fpnprobe.figures import ap_bars
from fpnprobe.figures.columns import largest, rows
from fpnprobe.figures.legend import Key
from fpnprobe.figures.palette import INK
from fpnprobe.report.page.content import Block, Figure, Section, Table, Text
from fpnprobe.report.sections.average_precision import ap_differences, figure1_pyramid
from fpnprobe.report.sections.average_precision.ap_panels import bar_panels
from fpnprobe.report.tables import published
from fpnprobe.report.tables.average_precision import (
    METRICS,
    against,
    baseline,
    by_variant,
    compared,
    final,
)
from fpnprobe.report.tables.stored import Stored

NOT_MEASURED = "Not measured: no cell of this study has an evaluation."


def section(stored: Stored) -> Section:
    """Figures 1 and 3, the differences, and the table of AP."""
    if final(stored).empty:
        return Section("results", "Average precision by object size", [Text(NOT_MEASURED, "hole")])
    table = by_variant(stored)
    paper = bool(table["published"].notna().any())
    keys = [Key("paper (COCO, R101)", INK, "D")] if paper else []
    if table["low"].notna().any():
        keys = [Key("95 % interval over seeds", INK, "line"), Key("one seed", INK, "o"), *keys]
    figure = Figure(
        "figure-3",
        "AP by object size (Figure 3 of the paper)",
        _name_best(table)
        + (
            " Hollow diamonds are the paper's values: other data and a larger model, so compare "
            "directions, not heights."
            + (f" {stored.reason_to_compare}" if stored.reason_to_compare else "")
            + (" " + published.notes()["figure3"] if "FPN-Aux" in stored.variants else "")
            if paper
            else ""
        ),
        bar_panels(table, METRICS, stored),
        table.drop(columns="seeds"),
        keys=keys,
        height=max(70, 34 * len(stored.variants)),
        left=118,
        bottom=48,
    )
    base = baseline(stored)
    plain = next((n for n in stored.variants if n.split(": ")[-1] == "FPN" and n != base), "")
    blocks: list[Block] = [
        *figure1_pyramid.figure(stored, table),
        figure,
        *ap_differences.figure(
            compared(stored), stored, "differences", "What changes against the baseline"
        ),
        *ap_differences.figure(
            against(stored, plain), stored, "repairs", f"What changes against {plain}"
        ),
    ]
    return Section("results", "Average precision by object size", [*blocks, _list_cells(stored)])


def _name_best(table: pd.DataFrame) -> str:
    clauses = []
    for metric, size in (("AP_S", "small"), ("AP_L", "large")):
        measured = table[table["metric"] == metric].dropna(subset="value")
        if len(measured):
            best = largest(measured, "value")
            clauses.append(
                f"on {size} objects {best.variant} is highest ({best.value:.1f})"
                if best.value > 0
                else f"no variant finds {size} objects (0.0)"
            )
    seeds = {len(s) for s in table["seeds"] if len(s)}
    opening = "With" if seeds == {1} else "Where a variant has"
    sure = f" {opening} one seed, small gaps are noise." if 1 in seeds else ""
    if (table["high"] > ap_bars.reach(table)).any():
        sure += " Arrows: the interval goes on; two seeds say little."
    sentence = " and ".join(clauses)
    return (
        f"{sentence[:1].upper()}{sentence[1:]}.{sure}" if clauses else "No AP by size was measured."
    )


def _list_cells(stored: Stored) -> Table:
    table = final(stored)
    every = ["AP", "AP_50", "AP_75", "AP_S", "AP_M", "AP_L"]
    value = table.set_index(["variant", "seed", "metric"])["value"].to_dict()
    masks = final(stored, iou_type="segm") if stored.iou_type == "bbox" else table[:0]
    of_masks = [f"mask {name}" for name in METRICS if len(masks)]
    value |= {
        (row.variant, row.seed, f"mask {row.metric}"): float(row.value) for row in rows(masks)
    }
    every += of_masks
    records = [
        {
            "variant": cell.variant,
            "seed": cell.seed,
            **{m: value.get((cell.variant, cell.seed, m), np.nan) for m in every},
            "state": cell.state,
        }
        for cell in stored.cells
    ]
    return Table(
        "average-precision",
        "Every cell",
        "AP in points (percent). A dash is a cell or size that was not measured."
        + (" The first columns judge boxes, those called mask the masks." if of_masks else ""),
        pd.DataFrame(records),
        {
            "variant": "variant",
            "seed": "seed",
            **{m: stored.name_metric(m) for m in every},
            "state": "state",
        },
        dict.fromkeys(every, "{:.1f}"),
    )
