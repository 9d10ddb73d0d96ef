"""The same images through the weights of several moments of a training."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows, split
from fpnprobe.figures.line_ends import label_end
from fpnprobe.figures.palette import variant_dash
from fpnprobe.figures.svg import belong, mark

COLUMNS = ("variant", "trained", "value", "low", "high", "seeds")
MOST_BANDS = 4
"""Variants above which bands would hide each other: lines alone are drawn."""


def draw(
    table: pd.DataFrame,
    ax: Axes,
    *,
    colors: Mapping[str, str],
    what: str,
    unit: str,
    limits: tuple[float, float],
) -> Axes:
    """Draw a line per variant over the iterations trained, with a band from seed to seed.

    Args:
        table: `value` is the mean over `seeds` cells, `low` and `high` their lowest and highest.
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.
        what: Name of the quantity, for the value shown on hover.
        unit: Behind each number on hover, such as " %".
        limits: Of the vertical axis.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    digits = 1 if unit else 2
    few = table["variant"].nunique() <= MOST_BANDS
    for variant, line in split(table.dropna(subset="value"), "variant"):
        color = colors[variant]
        line = line.sort_values("trained")
        several = line["seeds"] > 1
        if several.any() and few:
            band = ax.fill_between(
                line["trained"], line["low"], line["high"], where=several.tolist(), color=color,
                alpha=0.16, linewidth=0,
            )  # fmt: skip
            belong(band, variant)
        (curve,) = ax.plot(
            line["trained"], line["value"], color=color, linewidth=1.8,
            linestyle=variant_dash(variant),
        )  # fmt: skip
        belong(curve, variant)
        for row in rows(line):
            (dot,) = ax.plot(row.trained, row.value, marker="o", markersize=4.2, color=color)
            spread = (
                f", {row.low:.{digits}f} to {row.high:.{digits}f} over {row.seeds} seeds"
                if row.seeds > 1
                else ""
            )
            mark(
                dot,
                f"{variant}, {what} after {row.trained} iterations: "
                f"{row.value:.{digits}f}{unit}{spread}",
                series=variant,
            )
        if len(line):
            label_end(ax, line["value"].iloc[-1], variant)
    ax.set(ylim=limits, xlabel="iterations trained", ylabel=unit.strip() or "index")
    ax.locator_params(axis="x", nbins=3)
    ax.margins(x=0.06)
    ax.grid(axis="y")
    ax.spines["left"].set_visible(False)
    return ax
