"""A quantity over training by variant: learning curves, losses, uncertainty alpha."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows, split
from fpnprobe.figures.svg import mark

COLUMNS = ("variant", "iteration", "value", "seeds")


def draw(table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str], what: str) -> Axes:
    """Draw a line per variant.

    Args:
        table: `value` by `iteration`, averaged over `seeds` cells.
        ax: where to draw.
        colors: of each variant, from `variant_colors`.
        what: name of the quantity, for the value shown on hover.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    for variant, line in split(table, "variant"):
        color = colors[variant]
        line = line.sort_values("iteration")
        style = "--" if "~" in variant else "-"
        ax.plot(line["iteration"], line["value"], color=color, linewidth=2, linestyle=style)
        for row in rows(line.dropna(subset="value")):
            (dot,) = ax.plot(row.iteration, row.value, marker="o", markersize=4, color=color)
            mark(dot, f"{variant}, {what} at iteration {row.iteration:.0f}: {row.value:.4g}")
    ax.set(xlabel="iteration")
    ax.locator_params(axis="x", nbins=5)
    ax.locator_params(axis="y", nbins=5)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.margins(x=0.04)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.grid(axis="y")
    ax.spines["left"].set_visible(False)
    return ax
