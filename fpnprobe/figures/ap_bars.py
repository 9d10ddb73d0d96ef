"""AP by variant as bars, one metric to the Axes: Figures 1 and 3 of the paper, with intervals."""

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import INK, MUTED, SURFACE
from fpnprobe.figures.svg import mark
from fpnprobe.figures.wording import variant_label

COLUMNS = ("variant", "value", "low", "high", "seeds", "published")


def reach(table: pd.DataFrame) -> float:
    """Return the end of the axis of all metrics, at least 1.

    All values fit, and intervals up to a third beyond the largest: one over two seeds, which can be
    wider than all else, is cut there.
    """
    values = [v for name in ("value", "published") for v in table[name]]
    values += [v for seeds in table["seeds"] for v in seeds]
    largest = max([1.0] + [float(v) for v in values if v == v])
    return max([largest] + [min(float(v), largest * 4 / 3) for v in table["high"] if v == v])


def draw(
    table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str], limit: float | None = None
) -> Axes:
    """Draw one bar per row: mean over seeds, t interval, one dot per seed, the paper's value.

    Args:
        table: One row per variant, in drawing order from top; `value`, `low`, `high` and
            `published` in AP points (percent), NaN where there is none; `seeds` a sequence of
            AP points.
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.
        limit: Where the axis ends, to share it between metrics; intervals are cut there.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    reached = limit or reach(table)
    limit = reached * 1.2  # the values stand in a column at the right end
    for at, row in enumerate(rows(table)):
        color = colors[row.variant]
        if row.value != row.value:
            ax.text(0, at, "not measured", va="center", color=MUTED, fontsize=10)
            continue
        (bar,) = ax.barh(at, row.value, height=0.62, color=color, linewidth=0)
        if "~" in row.variant:
            bar.set(hatch="////", edgecolor=SURFACE)
        text = f"{row.variant}: {row.value:.1f}"
        if row.low == row.low:
            ax.plot([max(0.0, row.low), min(row.high, reached)], [at, at], color=INK, linewidth=1.6)
            if row.high > reached:
                ax.plot(reached, at, marker=">", markersize=5, color=INK)
            text += f", interval {row.low:.1f} to {row.high:.1f}"
        if len(row.seeds) > 1:
            text += "; seeds " + ", ".join(f"{v:.1f}" for v in row.seeds)
        if row.published == row.published:
            ax.plot(
                row.published, at, marker="D", markersize=7, color=SURFACE,
                markeredgecolor=INK, markeredgewidth=1.4,
            )  # fmt: skip
            text += f"; paper {row.published:.1f}"
        mark(bar, text)
        ax.text(limit, at, f"{row.value:.1f}", ha="right", va="center_baseline", weight="bold")
    points = [
        (v, at) for at, row in enumerate(rows(table)) if len(row.seeds) > 1 for v in row.seeds
    ]
    if points:
        sns.stripplot(
            x=[value for value, _ in points], y=[at for _, at in points], ax=ax, orient="h",
            native_scale=True, jitter=False, size=3.8, color=SURFACE, edgecolor=INK, linewidth=0.9,
            zorder=3,
        )  # fmt: skip
    ax.set(xlabel="AP, points", xlim=(0, limit), ylim=(len(table) - 0.4, -0.6))
    ax.set_yticks(range(len(table)), [variant_label(name) for name in table["variant"]])
    ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= reached])
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="x")
    ax.spines["bottom"].set_visible(False)
    return ax
