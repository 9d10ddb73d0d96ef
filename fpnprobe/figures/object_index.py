"""The all-object index by stage: from one size heard (1/3) to all alike (1)."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows, split
from fpnprobe.figures.line_ends import label_end
from fpnprobe.figures.palette import INK, MUTED, variant_dash
from fpnprobe.figures.svg import belong, mark

COLUMNS = ("variant", "tap", "route", "index")


def draw(
    table: pd.DataFrame,
    ax: Axes,
    *,
    colors: Mapping[str, str],
    taps: Sequence[str],
    buckets: int = 3,
) -> Axes:
    """Draw a line per variant over the stages of one route.

    Args:
        table: One route; `index` in [1/buckets, 1], NaN where the route carries nothing.
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.
        taps: The stages, from left.
        buckets: Number of object buckets, which sets the lower end.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    for variant, line in split(table, "variant"):
        color = colors[variant]
        line = line.dropna(subset="index")
        at = [taps.index(tap) for tap in line["tap"]]
        (curve,) = ax.plot(
            at, line["index"], color=color, linewidth=2, linestyle=variant_dash(variant)
        )
        belong(curve, variant)
        for x, row in zip(at, rows(line.rename(columns={"index": "value"})), strict=True):
            (dot,) = ax.plot(x, row.value, marker="o", markersize=6.5, color=color)
            mark(dot, f"{variant}, {row.tap} {row.route}: index {row.value:.2f}", series=variant)
        if len(line):
            label_end(ax, line["index"].iloc[-1], variant)
    ax.axhline(1 / buckets, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    ax.text(
        len(taps) - 0.75, 1 / buckets, "one size only", ha="right", va="bottom", fontsize=9,
        color=MUTED,
    )  # fmt: skip
    ax.set(ylim=(1 / buckets - 0.06, 1.04), xlim=(-0.3, len(taps) - 0.7), ylabel="index")
    ax.set_xticks(range(len(taps)), taps)
    ax.set_yticks([0.4, 0.6, 0.8, 1.0])
    ax.tick_params(axis="x", labelcolor=INK)
    ax.grid(axis="y")
    ax.spines["left"].set_visible(False)
    return ax
