"""Error types by scale: how much AP each kind of mistake costs on small, medium, large objects."""

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import INK, bucket_color
from fpnprobe.figures.svg import mark

COLUMNS = ("variant", "bucket", "error", "d_ap")


def draw(table: pd.DataFrame, ax: Axes, *, reach: float) -> Axes:
    """Draw one variant: a group of bars per error type, a bar per bucket.

    Args:
        table: One variant; `d_ap` is the AP, in points, that is won by correcting an error type.
        ax: Where to draw.
        reach: Right end of the axis, shared by all variants, in points.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    errors = list(dict.fromkeys(table["error"]))
    buckets = list(dict.fromkeys(table["bucket"]))
    thick = 0.78 / len(buckets)
    for row in rows(table):
        y = errors.index(row.error) - 0.39 + (buckets.index(row.bucket) + 0.5) * thick
        if row.d_ap != row.d_ap:
            continue
        color = bucket_color(row.bucket, buckets)
        (bar,) = ax.barh(y, row.d_ap, height=thick * 0.88, color=color, linewidth=0)
        mark(
            bar,
            f"{row.variant}, {row.error}, {row.bucket}: {row.d_ap:.1f} points",
            series=row.bucket,
        )
    ax.set(
        xlabel="AP to be won, points",
        xlim=(0, (reach or 1.0) * 1.05),
        ylim=(len(errors) - 0.5, -0.5),
    )
    ax.set_yticks(range(len(errors)), errors)
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="x")
    ax.spines["bottom"].set_visible(False)
    return ax
