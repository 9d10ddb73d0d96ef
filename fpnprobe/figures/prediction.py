"""Does a gradient share predict AP: one dot per cell."""

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import MUTED
from fpnprobe.figures.svg import mark

FEWEST = 8
"""Different shares below which a line and its band say nothing."""
COLUMNS = ("variant", "seed", "share", "ap")


def draw(table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str], x: str, y: str) -> Axes:
    """Draw AP over share, with the line of least squares and its 95 % band over cells.

    Args:
        table: One row per cell, `share` in percent and `ap` in points.
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.
        x: What the share is of, with its unit.
        y: Which AP.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    measured = table.dropna(subset=["share", "ap"])
    if measured["share"].nunique() >= FEWEST:
        sns.regplot(
            data=measured, x="share", y="ap", ax=ax, scatter=False, seed=0, n_boot=500, color=MUTED,
            line_kws={"linewidth": 1.2}, truncate=True,
        )  # fmt: skip
    for row in rows(measured):
        color = colors[row.variant]
        face = "none" if "~" in row.variant else color
        (dot,) = ax.plot(
            row.share, row.ap, marker="o", markersize=8, linestyle="none", color=color,
            markerfacecolor=face, markeredgewidth=1.6, alpha=0.9,
        )  # fmt: skip
        mark(
            dot,
            f"{row.variant}, seed {row.seed}: {row.share:.1f} %, {y} {row.ap:.1f}",
            series=row.variant,
        )
    ax.set(xlabel=x, ylabel=f"{y}, points")
    if len(measured):  # the band may run out of the panel
        low, high = float(measured["ap"].min()), float(measured["ap"].max())
        ax.set_ylim(low - 0.15 * (high - low) - 0.5, high + 0.15 * (high - low) + 0.5)
    ax.margins(x=0.12)
    ax.grid(visible=True)
    ax.spines[["left", "bottom"]].set_visible(False)
    return ax
