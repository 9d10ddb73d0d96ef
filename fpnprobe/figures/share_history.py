"""Gradient share of each bucket at one stage over training, with the samples it rests on."""

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import bucket_color
from fpnprobe.figures.svg import belong, mark

COLUMNS = ("variant", "tap", "route", "bucket", "iteration", "share", "points")


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a line per bucket; each dot is the share over the samples of one stretch of training.

    Args:
        table: One variant and stage; `share` in [0, 1], `points` the samples behind a dot. The
            route `total` is a full line, any other is dashed.
        ax: Where to draw.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    buckets = list(dict.fromkeys(table["bucket"]))
    for (route, bucket), line in table.groupby(["route", "bucket"], sort=False):
        color, whole = bucket_color(str(bucket), buckets), route == "total"
        (curve,) = ax.plot(
            line["iteration"], 100 * line["share"], color=color, linewidth=2 if whole else 1.4,
            linestyle="-" if whole else (0, (3, 2)),
        )  # fmt: skip
        belong(curve, str(bucket))
        for row in rows(line) if whole else ():
            (dot,) = ax.plot(
                row.iteration, 100 * row.share, marker="o", markersize=3.4, color=color
            )
            mark(
                dot,
                f"{row.variant}, {row.tap} {route}, {bucket}: {100 * row.share:.1f} % near "
                f"iteration {row.iteration:.0f} ({row.points} samples)",
                series=str(bucket),
            )
    ax.set(ylim=(0, 100), xlabel="iteration", ylabel="share, %")
    ax.margins(x=0.03)
    ax.set_yticks([0, 25, 50, 75, 100])
    ax.locator_params(axis="x", nbins=5)
    ax.grid(axis="y")
    ax.spines["left"].set_visible(False)
    return ax
