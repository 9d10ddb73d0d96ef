"""The section on AP: bars by size, differences to the baseline, the numbers as a table."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.figures import ap_bars, differences
from fpnprobe.figures.columns import largest, rows, split
from fpnprobe.figures.legend import Key
from fpnprobe.figures.palette import INK
from fpnprobe.figures.svg import Panel
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Block, Figure, Section, Table, Text
from fpnprobe.report.tables import published
from fpnprobe.report.tables.average_precision import (
    METRICS,
    against,
    baseline,
    by_variant,
    compared,
    final,
)
from fpnprobe.report.tables.read_studies import Stored

SIZES = {"AP": "all sizes", "AP_S": "small", "AP_M": "medium", "AP_L": "large"}
FIGURE_1 = "Faster R-CNN"
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
        _sentence(table)
        + (
            " Hollow diamonds are the paper's values: other data and a larger model, so compare "
            "directions, not heights."
            + (f" {stored.reason_to_compare}" if stored.reason_to_compare else "")
            + (" " + published.notes()["figure3"] if "FPN-Aux" in stored.variants else "")
            if paper
            else ""
        ),
        _bars(table, METRICS, stored),
        table.drop(columns="seeds"),
        keys=keys,
        height=max(70, 34 * len(stored.variants)),
        left=118,
        bottom=48,
    )
    base = baseline(stored)
    plain = next((n for n in stored.variants if n.split(": ")[-1] == "FPN" and n != base), "")
    blocks: list[Block] = [
        *_figure1(stored, table),
        figure,
        *_differences(compared(stored), stored, "differences", "What changes against the baseline"),
        *_differences(against(stored, plain), stored, "repairs", f"What changes against {plain}"),
    ]
    return Section("results", "Average precision by object size", [*blocks, _table(stored)])


def _bars(table: pd.DataFrame, metrics: Sequence[str], stored: Stored) -> list[Panel]:
    limit, colors = ap_bars.reach(table), stored.colors
    return [
        Panel(
            f"{stored.name_metric(metric)}, {SIZES[metric]}",
            partial(ap_bars.draw, table[table["metric"] == metric], colors=colors, limit=limit),
        )
        for metric in metrics
    ]


def _figure1(stored: Stored, table: pd.DataFrame) -> list[Block]:
    """DC5 and FPN alone, where both were measured; of the paper's detector, beside its bars."""
    table = table[table["variant"].isin(["DC5", "FPN"]) & table["metric"].isin(["AP_S", "AP_L"])]
    if table["value"].notna().sum() < 4:
        return []
    theirs = (
        stored.compares_with_paper
        and stored.iou_type == "bbox"
        and all(published.detector(study) == FIGURE_1 for study in stored.studies)
    )
    paper = published.figure1().set_index(["variant", "metric"])["published"].to_dict()
    keys = zip(table["variant"], table["metric"], strict=True)
    table = table.assign(published=[paper.get(key, np.nan) if theirs else np.nan for key in keys])
    value = table.set_index(["metric", "variant"])["value"]
    moves = {
        metric: float(value[metric, "FPN"] - value[metric, "DC5"]) for metric in ("AP_S", "AP_L")
    }
    small, large = stored.name_metric("AP_S"), stored.name_metric("AP_L")
    beside = (
        f"; the paper has {signed(_gain(paper, 'AP_S'))} and {signed(_gain(paper, 'AP_L'))} with "
        "COCO's bounds. "
        f"{published.notes()['figure1']}"
        if theirs
        else "."
    )
    figure = Figure(
        "figure-1",
        "With and without the pyramid (Figure 1 of the paper)",
        f"{_direction(stored, moves)}: from DC5 to FPN, {small} {signed(moves['AP_S'])} and "
        f"{large} {signed(moves['AP_L'])} points{beside}",
        _bars(table, ("AP_S", "AP_L"), stored),
        table.drop(columns="seeds"),
        keys=[Key("paper (COCO, R50, MMDetection)", INK, "D")] if theirs else [],
        height=70,
        left=118,
        bottom=48,
    )
    return [figure]


def _direction(stored: Stored, moves: Mapping[str, float]) -> str:
    """Whether both changes have the paper's sign, and whether their intervals allow to say so."""
    if not final(stored)["value"].max() > 0:
        return "Neither variant finds anything"
    if not moves["AP_S"] > 0 > moves["AP_L"]:
        return "Not the direction of the paper, whose AP_S rises and whose AP_L falls"
    pair = compared(stored)
    pair = pair[(pair["variant"] == "FPN") & (pair["baseline"] == "DC5")]
    pair = pair[pair["metric"].isin(moves) & (pair["source"] != "images")]
    if len(pair) == len(moves) and ((pair["low"] > 0) | (pair["high"] < 0)).all():
        return "The pyramid helps small objects and costs large ones, the direction of the paper"
    return "The direction of the paper, whose AP_S rises and whose AP_L falls, but not beyond doubt"


def _gain(paper: Mapping[Any, float], metric: str) -> float:
    return paper["FPN", metric] - paper["DC5", metric]


def _sentence(table: pd.DataFrame) -> str:
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
    where = "With" if seeds == {1} else "Where a variant has"
    sure = f" {where} one seed, small gaps are noise." if 1 in seeds else ""
    if (table["high"] > ap_bars.reach(table)).any():
        sure += " Arrows: the interval goes on; two seeds say little."
    said = " and ".join(clauses)
    return f"{said[:1].upper()}{said[1:]}.{sure}" if clauses else "No AP by size was measured."


def _differences(table: pd.DataFrame, stored: Stored, name: str, title: str) -> list[Figure]:
    if table.empty:
        return []
    cap = 1.5 * max(1.0, float(table["difference"].abs().max()))
    panels = [
        Panel(
            f"{variant} − {base}",
            partial(
                differences.draw,
                rows_of_variant.assign(metric=rows_of_variant["metric"].map(stored.name_metric)),
                colors=stored.colors,
                cap=cap,
            ),
        )
        for (variant, base), rows_of_variant in table.groupby(["variant", "baseline"], sort=False)
    ]
    sure = table.dropna(subset=["low", "high"])
    clear = sure[((sure["low"] > 0) | (sure["high"] < 0)) & sure["metric"].isin(["AP_S", "AP_L"])]
    single = clear["source"] == "images"
    said, once = (
        "; ".join(
            f"{variant} "
            + ", ".join(
                f"{stored.name_metric(str(r.metric))} {signed(r.difference)}"
                for r in rows(rows_of_variant)
            )
            for variant, rows_of_variant in split(chosen, "variant")
        )
        for chosen in (clear[~single], clear[single])
    )
    caption = (
        f"For small and large objects, larger than their uncertainty: {said}."
        if said
        else "No difference for small or large objects is larger than its interval."
        if not once
        else ""
    )
    if once:
        caption += f" With one seed, larger than their interval over images: {once}."
    caption = caption.strip()
    spoken = {"both": "images and seeds"}
    source = ", ".join(
        sorted({f"{spoken.get(r.source, r.source)} ({r.method})" for r in rows(sure)})
    )
    if source:
        caption += f" The 95 % intervals are over {source}."
    if (sure[["low", "high"]].abs() > cap).any(axis=None):
        caption += " Arrows: the interval goes on."
    figure = Figure(
        name,
        title,
        caption + " In AP points; right of zero is better.",
        panels,
        table,
        height=150,
        bottom=48,
        left=62 if stored.name_metric("AP_S") == "AP_S" else 104,
        share="xy",
    )
    return [figure]


def _table(stored: Stored) -> Table:
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
