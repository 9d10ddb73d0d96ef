"""The cost of the probe in each cell, against its budget."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import INK, MUTED
from fpnprobe.figures.svg import mark
from fpnprobe.figures.wording import variant_label

COLUMNS = ("variant", "seeds", "cost", "budget")


def draw(table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str]) -> Axes:
    """Draw a bar per variant with its budget as an upright stroke.

    Args:
        table: `cost` and `budget` in percent of the training time, NaN where unknown; `seeds` the
            number of cells behind the mean.
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    ends = [v for name in ("cost", "budget") for v in table[name] if v == v]
    reach = max([0.1, *ends])
    for at, row in enumerate(rows(table)):
        if row.cost != row.cost:
            ax.text(0, at, "  not measured", va="center_baseline", color=MUTED, fontsize=10)
            continue
        (bar,) = ax.barh(at, row.cost, height=0.6, color=colors[row.variant], linewidth=0)
        text = f"{row.variant}: the probe took {row.cost:.2f} % of the training time"
        tip = row.cost
        if row.budget == row.budget:
            ax.plot([row.budget] * 2, [at - 0.38, at + 0.38], color=INK, linewidth=2)
            text += f", budget {row.budget:.1f} %"
            tip = max(tip, row.budget)
        mark(bar, text)
        ax.text(tip + reach * 0.03, at, f"{row.cost:.1f} %", va="center_baseline", weight="bold")
    ax.set(
        xlabel="percent of the training time", xlim=(0, reach * 1.25), ylim=(len(table) - 0.4, -0.6)
    )
    ax.set_yticks(range(len(table)), [variant_label(name) for name in table["variant"]])
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="x")
    ax.spines["bottom"].set_visible(False)
    return ax
