"""Differences to a baseline with intervals: which changes are larger than their uncertainty."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import INK, MUTED
from fpnprobe.figures.svg import mark
from fpnprobe.figures.wording import signed

COLUMNS = ("variant", "baseline", "metric", "difference", "low", "high", "source")


def draw(
    table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str], cap: float = math.inf
) -> Axes:
    """Draw one dot with its interval per row, against a zero line.

    Args:
        table: One variant's differences to its baseline, a row per metric from top, in AP points;
            `low` and `high` NaN where the interval is unknown; `source` says what the interval
            covers (images, seeds, both).
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.
        cap: Intervals are cut this far from zero, with an arrow.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    ends = [v for v in table["difference"] if v == v]
    ends += [max(-cap, min(cap, v)) for name in ("low", "high") for v in table[name] if v == v]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    pad = max(0.5, 0.08 * (high - low))
    ax.axvline(0, color=MUTED, linewidth=1)
    for at, row in enumerate(rows(table)):
        if row.difference != row.difference:
            ax.text(0, at, "  not measured", va="center", color=MUTED, fontsize=10)
            continue
        color = colors[row.variant]
        text = f"{row.variant} − {row.baseline}, {row.metric}: {signed(row.difference)}"
        if row.low == row.low:
            ends = [max(-cap, min(cap, row.low)), max(-cap, min(cap, row.high))]
            ax.plot(ends, [at, at], color=color, linewidth=2.4)
            for end, whole, arrow in zip(ends, (row.low, row.high), "<>", strict=True):
                if end != whole:
                    ax.plot(end, at, marker=arrow, markersize=6, color=color)
            text += f", interval {signed(row.low)} to {signed(row.high)} ({row.source})"
        (dot,) = ax.plot(row.difference, at, marker="o", markersize=8.5, color=color)
        mark(dot, text)
        ax.text(
            row.difference, at - 0.22, signed(row.difference), ha="center",
            va="bottom", weight="bold", fontsize=10.5,
        )  # fmt: skip
    ax.set(
        xlabel="difference, AP points", xlim=(low - pad, high + pad), ylim=(len(table) - 0.5, -0.75)
    )
    ax.set_yticks(range(len(table)), list(table["metric"]))
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="x")
    ax.spines[["left", "bottom"]].set_visible(False)
    return ax
