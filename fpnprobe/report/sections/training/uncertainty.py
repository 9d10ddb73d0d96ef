"""The figure of uncertainty alpha: which auxiliary losses a model has learned to damp."""

import re
from functools import partial

import numpy as np
import pandas as pd

from fpnprobe.figures import curves
from fpnprobe.figures.columns import largest, split
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.tables.gradient_shares import variant_keys
from fpnprobe.report.tables.stored import Stored

_ALPHA = re.compile(r"alpha (C\d+) (.+)")
_DAMPED = 1e-3  # an alpha below leaves more than 99.9 % of a loss


def _name_undamped(table: pd.DataFrame) -> str:
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


def figure(stored: Stored) -> list[Block]:
    """Draw alpha by stage and part of the loss; nothing without uncertainty."""
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
    sentence = _name_undamped(table) + (
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
