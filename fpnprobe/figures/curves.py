"""A quantity over training by variant: learning curves, losses, uncertainty alpha."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows, split
from fpnprobe.figures.line_ends import label_end
from fpnprobe.figures.palette import variant_dash
from fpnprobe.figures.svg import belong, mark

COLUMNS = ("variant", "iteration", "value", "seeds")


def draw(
    table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str], what: str, unit: str = ""
) -> Axes:
    """Draw a line per variant.

    Args:
        table: `value` by `iteration`, averaged over `seeds` cells.
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.
        what: Name of the quantity, for the value shown on hover.
        unit: Of the quantity, on the axis.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    for variant, line in split(table, "variant"):
        color = colors[variant]
        line = line.sort_values("iteration")
        (curve,) = ax.plot(
            line["iteration"], line["value"], color=color, linewidth=1.8,
            linestyle=variant_dash(variant),
        )  # fmt: skip
        belong(curve, variant)
        measured = line.dropna(subset="value")
        for row in rows(measured):
            (dot,) = ax.plot(row.iteration, row.value, marker="o", markersize=4, color=color)
            mark(
                dot,
                f"{variant}, {what} at iteration {row.iteration:.0f}: {row.value:.4g}",
                series=variant,
            )
        if len(measured):
            label_end(ax, measured["value"].iloc[-1], variant)
    ax.set(xlabel="iteration", ylabel=unit)
    ax.locator_params(axis="x", nbins=5)
    ax.locator_params(axis="y", nbins=5)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.margins(x=0.04)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.grid(axis="y")
    ax.spines["left"].set_visible(False)
    return ax
