"""Stage x bucket x route: whose gradient reaches each backbone stage, and by which way."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.contrast import tint
from fpnprobe.figures.palette import INK, MUTED, bucket_color
from fpnprobe.figures.svg import mark

COLUMNS = ("variant", "tap", "route", "bucket", "share", "state")
ROUTES = ("total", "direct", "auxiliary", "deeper")


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one variant: a row per stage, a block of cells per route, a cell per bucket.

    Args:
        table: One variant; `share` in [0, 1] of the object buckets' squared norms within a stage
            and route, NaN where `state` is `frozen` or nothing was measured.
        ax: Where to draw.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    taps = sorted(table["tap"].unique(), reverse=True)
    buckets = list(dict.fromkeys(table["bucket"]))
    routes = [route for route in ROUTES if (table["route"] == route).any()]
    pitch = len(buckets) + 0.45
    for row in rows(table):
        x = routes.index(row.route) * pitch + buckets.index(row.bucket)
        y = taps.index(row.tap)
        measured = row.share == row.share
        color = to_rgba(bucket_color(row.bucket, buckets), tint(row.share) if measured else 0)
        cell = Rectangle((x + 0.03, y + 0.05), 0.94, 0.9, facecolor=color, linewidth=0)
        value = f"{100 * row.share:.1f} %" if measured else str(row.state)
        mark(cell, f"{row.variant}, {row.tap} {row.route}, {row.bucket}: {value}")
        ax.add_patch(cell)
        label = f"{100 * row.share:.0f}" if measured else "–" if row.state != "frozen" else "frozen"
        ax.text(
            x + 0.5, y + 0.5, label, ha="center", va="center_baseline",
            color=INK if measured else MUTED, fontsize=10.5 if measured else 8.5,
        )  # fmt: skip
    for at, route in enumerate(routes):
        start = at * pitch
        ax.text(start, -0.62, route, va="bottom", fontsize=10.5, color=INK)
        for index, bucket in enumerate(buckets):
            ax.text(
                start + index + 0.5, -0.12, _initial_of(bucket, buckets), ha="center", va="bottom",
                fontsize=9.5, color=MUTED,
            )  # fmt: skip
    ax.set(xlim=(0, len(routes) * pitch - 0.45), ylim=(len(taps), -1.05))
    ax.set_yticks([at + 0.5 for at in range(len(taps))], taps)
    ax.set_xticks([])
    ax.tick_params(axis="y", labelcolor=INK)
    ax.spines[["left", "bottom"]].set_visible(False)
    return ax


def _initial_of(bucket: str, buckets: list[str]) -> str:
    for length in range(1, 6):
        start = bucket[:length]
        if sum(other.startswith(start) for other in buckets) == 1:
            return start.capitalize()
    return bucket[:5]
