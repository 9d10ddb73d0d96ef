"""The figure of training losses, by the parts that add up to the total."""

import re
from collections.abc import Mapping
from functools import partial

import pandas as pd

from fpnprobe.figures import curves
from fpnprobe.figures.columns import split
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.tables.gradient_shares import variant_keys
from fpnprobe.report.tables.stored import Stored

TOTAL = "total"
_KINDS = (
    ("masks", r"mask"),
    ("boxes", r"bbox|box|iou|reg|dfl|center"),
    ("classes", r"cls"),
)


def name_part(name: str) -> str:
    """The part of the total loss that a loss of mmdet belongs to; the parts add up to the total.

    Stages of a cascade and auxiliary heads of all backbone stages are taken together.

    >>> [name_part(name) for name in ("loss", "loss_rpn_cls", "s1.loss_bbox", "aux2.loss_cls")]
    ['total', 'proposals', 'head: boxes', 'auxiliary: classes']
    """
    if name == "loss":
        return TOTAL
    if "rpn" in name:
        return "proposals"
    head = "auxiliary" if re.match(r"aux\d", name) else "head"
    kind = next((kind for kind, pattern in _KINDS if re.search(pattern, name)), "other terms")
    return f"{head}: {kind}"


def sum_parts(table: pd.DataFrame) -> pd.DataFrame:
    """Losses summed within each part: variant, name, iteration, value, seeds; the total first."""
    table = table.assign(name=table["name"].map(name_part))
    keys = ["variant", "name", "iteration"]
    table = table.groupby(keys, sort=False).agg(
        value=("value", lambda values: values.sum(skipna=False)), seeds=("seeds", "max")
    )
    table = table.reset_index()
    names = set(table["name"])
    order = [TOTAL, "proposals"] + [
        f"{head}: {kind}"
        for head in ("head", "auxiliary")
        for kind in ("classes", "boxes", "masks", "other terms")
    ]
    position = {name: at for at, name in enumerate(name for name in order if name in names)}
    return table.sort_values(
        "name", key=lambda c: c.map(position), kind="stable", ignore_index=True
    )


def figure(stored: Stored) -> list[Block]:
    """Draw the losses of every part; nothing where a training kept none."""
    table = stored.training
    table = table[table["name"].str.contains("loss")]
    if table.empty:
        return []
    table = sum_parts(table)
    has_auxiliary = any(name.startswith("auxiliary") for name in set(table["name"]))
    return [
        Figure(
            "losses",
            "Training losses",
            _tell_fall(table)
            + " Each panel has its own scale; the parts add up to the total. A dot is the mean "
            "over a stretch of training and over seeds."
            + _explain_rising_boxes(table)
            + (
                " Totals with and without auxiliary heads do not compare: compare the parts. The "
                "auxiliary losses of all stages are summed, as trained, damping included."
                if has_auxiliary
                else ""
            ),
            [
                Panel(
                    "total loss" if name == TOTAL else name,
                    partial(curves.draw, rows, colors=stored.colors, what=f"{name} loss"),
                )
                for name, rows in split(table, "name")
            ],
            table,
            keys=variant_keys(stored, table["variant"]),
            columns=3,
            height=120,
            left=36,
            right=70,
            bottom=48,
            share="",
        )
    ]


def warn_of_stuck(stored: Stored) -> str:
    """Name the variants whose total loss did not fall; "" where all fell."""
    table = stored.training
    return _name_stuck(_find_ends(table.assign(name=table["name"].map(name_part))))


def _find_ends(table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """The total loss of each variant in its first and in its last stretch."""
    ends = {}
    for name, rows in split(table[table["name"] == TOTAL], "variant"):
        line = rows.sort_values("iteration")["value"].to_numpy(float)
        if len(line) > 1:
            ends[name] = (line[0], line[-1])
    return ends


def _name_stuck(ends: Mapping[str, tuple[float, float]]) -> str:
    stuck = [name for name, (first, last) in ends.items() if not last < first]
    if not stuck:
        return ""
    whose = "its" if len(stuck) == 1 else "their"
    names = ", ".join(stuck)
    return (
        f"The total loss of {names} did not fall: read its parts before you trust {whose} numbers."
    )


def _tell_fall(table: pd.DataFrame) -> str:
    """Say whose total loss fell, from its first to its last stretch."""
    ends = _find_ends(table)
    if not ends:
        return "The total loss was not kept."
    if stuck := _name_stuck(ends):
        return stuck
    ratio = [last / first for first, last in ends.values()]
    reach = (
        f"to {100 * ratio[0]:.0f} %"
        if len(ratio) == 1
        else f"to between {100 * min(ratio):.0f} and {100 * max(ratio):.0f} %"
    )
    whose = "The total loss" if len(ends) == 1 else "The total loss of every variant"
    return f"{whose} fell, {reach} of where it began."


def _explain_rising_boxes(table: pd.DataFrame) -> str:
    """A word where the loss of boxes rose, which looks wrong and is not."""
    ends = (
        table[table["name"] == "head: boxes"].sort_values("iteration").groupby("variant")["value"]
    )
    if not (ends.last() > ends.first()).any():
        return ""
    return " A box loss can rise while boxes get better, as more proposals come to hold an object."
