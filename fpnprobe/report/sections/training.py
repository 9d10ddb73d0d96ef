"""The section on how training went: learning curves, losses, learning rate, uncertainty."""

import re
from functools import partial

import numpy as np
import pandas as pd

from fpnprobe.figures import curves
from fpnprobe.figures.columns import largest, split
from fpnprobe.figures.palette import INK
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure, Section
from fpnprobe.report.sections.average_precision import SIZES
from fpnprobe.report.tables.average_precision import METRICS
from fpnprobe.report.tables.gradient_shares import variant_keys
from fpnprobe.report.tables.read_studies import Stored

TOTAL = "total"
_KINDS = (
    ("masks", r"mask"),
    ("boxes", r"bbox|box|iou|reg|dfl|center"),
    ("classes", r"cls"),
)
_ALPHA = re.compile(r"alpha (C\d+) (.+)")
_DAMPED = 1e-3  # an alpha below leaves more than 99.9 % of a loss


def section(stored: Stored) -> Section | None:
    """Whatever of it was kept; None if nothing was."""
    blocks = [*_learning(stored), *_losses(stored), *_rate(stored), *_uncertainty(stored)]
    return Section("training", "How training went", blocks) if blocks else None


def part(name: str) -> str:
    """The part of the total loss that a loss of mmdet belongs to; the parts add up to the total.

    Stages of a cascade and auxiliary heads of all backbone stages are taken together.

    >>> [part(name) for name in ("loss", "loss_rpn_cls", "s1.loss_bbox", "aux2.loss_cls")]
    ['total', 'proposals', 'head: boxes', 'auxiliary: classes']
    """
    if name == "loss":
        return TOTAL
    if "rpn" in name:
        return "proposals"
    head = "auxiliary" if re.match(r"aux\d", name) else "head"
    kind = next((kind for kind, pattern in _KINDS if re.search(pattern, name)), "other terms")
    return f"{head}: {kind}"


def parts(table: pd.DataFrame) -> pd.DataFrame:
    """Losses summed within each part: variant, name, iteration, value, seeds; the total first."""
    table = table.assign(name=table["name"].map(part))
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


def _learning(stored: Stored) -> list[Block]:
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
    rising = []
    for name, rows in split(table[table["metric"] == "AP"], "variant"):
        line = rows.sort_values("iteration")["value"].to_numpy()
        if len(line) > 1 and line[-1] > 1.03 * line[-2]:
            rising.append(name)
    sentence = (
        f"{', '.join(rising)} still improved at the end: longer training may change the ranking."
        if rising
        else "AP had settled for every variant by the end."
    )
    return [
        Figure(
            "learning-curves",
            "Learning curves",
            sentence + " Mean over seeds, in AP points.",
            panels,
            table,
            keys=variant_keys(stored, table["variant"]),
            height=140,
            left=48,
            right=76,
            bottom=48,
        )
    ]


def _losses(stored: Stored) -> list[Block]:
    table = stored.training
    table = table[table["name"].str.contains("loss")]
    if table.empty:
        return []
    table = parts(table)
    has_auxiliary = any(name.startswith("auxiliary") for name in set(table["name"]))
    return [
        Figure(
            "losses",
            "Training losses",
            _fell(table)
            + " Each panel has its own scale; the parts add up to the total. A dot is the mean "
            "over a stretch of training and over seeds."
            + _boxes(table)
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


def _fell(table: pd.DataFrame) -> str:
    """Say whose total loss fell, from its first to its last stretch."""
    ends = {}
    for name, rows in split(table[table["name"] == TOTAL], "variant"):
        line = rows.sort_values("iteration")["value"].to_numpy(float)
        if len(line) > 1:
            ends[name] = (line[0], line[-1])
    if not ends:
        return "The total loss was not kept."
    stuck = [name for name, (first, last) in ends.items() if not last < first]
    if stuck:
        return f"The total loss of {', '.join(stuck)} did not fall: do not trust its numbers."
    ratio = [last / first for first, last in ends.values()]
    reach = (
        f"to {100 * ratio[0]:.0f} %"
        if len(ratio) == 1
        else f"to between {100 * min(ratio):.0f} and {100 * max(ratio):.0f} %"
    )
    whose = "The total loss" if len(ends) == 1 else "The total loss of every variant"
    return f"{whose} fell, {reach} of where it began."


def _boxes(table: pd.DataFrame) -> str:
    """A word where the loss of boxes rose, which looks wrong and is not."""
    ends = (
        table[table["name"] == "head: boxes"].sort_values("iteration").groupby("variant")["value"]
    )
    if not (ends.last() > ends.first()).any():
        return ""
    return " A box loss can rise while boxes get better, as more proposals come to hold an object."


def _rate(stored: Stored) -> list[Block]:
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


def _never_damped(table: pd.DataFrame) -> str:
    """Name the variants, and the parts of the others, whose alpha never left 0."""
    most = table.groupby(["variant", "part"], sort=False)["value"].max()
    idle = most[~(most > _DAMPED)].reset_index()
    damped = most.groupby("variant", sort=False).max() > _DAMPED
    variants = [str(name) for name in damped.index[~damped]]
    plain = "".join(
        f"No alpha of {name} ever left 0: this is plain Aux, and no test of its uncertainty. "
        for name in variants
    )
    return plain + "".join(
        f"The {loss_part} alpha of {name} never left 0: its {loss_part} losses are those of plain "
        "Aux. "
        for name, loss_part in zip(idle["variant"], idle["part"], strict=True)
        if name not in variants
    )


def _uncertainty(stored: Stored) -> list[Block]:
    table = stored.training
    table = table[table["name"].str.startswith("alpha")]
    if table.empty:
        return []
    matches = [_ALPHA.fullmatch(name) for name in table["name"]]
    stage = [match[1] if match else "" for match in matches]
    loss_parts = [
        match[2] if match else name for match, name in zip(matches, table["name"], strict=True)
    ]
    table = table.assign(stage=stage, part=loss_parts).sort_values(["part", "stage"], kind="stable")
    last = table[table["iteration"] == table.groupby("variant")["iteration"].transform("max")]
    most = largest(last, "value") if last["value"].notna().any() else None
    sentence = _never_damped(table) + (
        f"At the end {most.variant} trusts least its {most.part}"
        + (f" at {most.stage}" if most.stage else "")
        + f": alpha {most.value:.2f} leaves about {100 * np.exp(-most.value):.0f} % of that "
        "loss's gradient. "
        if most is not None and most.value > _DAMPED
        else ""
    )
    return [
        Figure(
            "uncertainty",
            "Uncertainty alpha of the auxiliary losses",
            sentence
            + "Where alpha rises above 0, exp(−alpha) of an auxiliary loss is left (Eq. 10): "
            "the model has learned not to trust it. Mean over predictions, by their loss, over "
            "stretches of training and over seeds.",
            [
                Panel(
                    f"{at} {name}".strip(),
                    partial(curves.draw, rows, colors=stored.colors, what=f"alpha {at} {name}"),
                    new_row=not number,
                )
                for name, group in split(table, "part")
                for number, (at, rows) in enumerate(split(group, "stage"))
            ],
            table,
            keys=variant_keys(stored, table["variant"]),
            columns=3,
            height=110,
            left=36,
            right=70,
            bottom=48,
        )
    ]
