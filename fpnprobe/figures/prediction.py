"""Does a gradient share predict AP: one dot per cell."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.svg import mark

COLUMNS = ("variant", "seed", "share", "ap")


def draw(table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str], x: str, y: str) -> Axes:
    """Draw AP over share.

    Args:
        table: one row per cell, `share` in percent and `ap` in points.
        ax: where to draw.
        colors: of each variant, from `variant_colors`.
        x: what the share is of, with its unit.
        y: which AP.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    for row in rows(table.dropna(subset=["share", "ap"])):
        color = colors[row.variant]
        face = "none" if "~" in row.variant else color
        (dot,) = ax.plot(
            row.share, row.ap, marker="o", markersize=8, linestyle="none", color=color,
            markerfacecolor=face, markeredgewidth=1.6, alpha=0.9,
        )  # fmt: skip
        mark(dot, f"{row.variant}, seed {row.seed}: {row.share:.1f} %, {y} {row.ap:.1f}")
    ax.set(xlabel=x, ylabel=f"{y}, points")
    ax.margins(0.12)
    ax.grid(visible=True)
    ax.spines[["left", "bottom"]].set_visible(False)
    return ax
