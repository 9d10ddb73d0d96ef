"""Figure 1 of the paper: DC5 and FPN alone, small objects against large ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.figures.legend import Key
from fpnprobe.figures.palette import INK
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.sections.average_precision.ap_panels import bar_panels
from fpnprobe.report.tables import published
from fpnprobe.report.tables.average_precision import (
    compared,
    final,
)
from fpnprobe.report.tables.stored import Stored

FIGURE_1 = "Faster R-CNN"


def figure(stored: Stored, table: pd.DataFrame) -> list[Block]:
    """Draw DC5 and FPN alone, where both were measured, beside the paper's of its detector."""
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
        f"; the paper has {signed(_published_gain(paper, 'AP_S'))} and "
        f"{signed(_published_gain(paper, 'AP_L'))} with COCO's bounds. "
        f"{published.notes()['figure1']}"
        if theirs
        else "."
    )
    figure = Figure(
        "figure-1",
        "With and without the pyramid (Figure 1 of the paper)",
        f"{_judge_direction(stored, moves)}: from DC5 to FPN, {small} {signed(moves['AP_S'])} and "
        f"{large} {signed(moves['AP_L'])} points{beside}",
        bar_panels(table, ("AP_S", "AP_L"), stored),
        table.drop(columns="seeds"),
        keys=[Key("paper (COCO, R50, MMDetection)", INK, "D")] if theirs else [],
        height=70,
        left=118,
        bottom=48,
    )
    return [figure]


def _judge_direction(stored: Stored, moves: Mapping[str, float]) -> str:
    """Say whether both changes have the paper's sign, and whether their intervals allow it."""
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


def _published_gain(paper: Mapping[Any, float], metric: str) -> float:
    return paper["FPN", metric] - paper["DC5", metric]
