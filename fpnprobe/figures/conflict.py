"""Cosines between the gradients of two buckets: do object sizes pull a stage the same way."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.contrast import tint
from fpnprobe.figures.palette import ACCENT, INK, LINE, MUTED
from fpnprobe.figures.svg import mark

COLUMNS = ("variant", "tap", "bucket_a", "bucket_b", "cosine")
AGAINST = "#c8453b"


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one variant: a row per stage, a cell per pair of buckets.

    Args:
        table: One variant; `cosine` in [-1, 1], NaN where a bucket had no gradient.
        ax: Where to draw.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    taps = sorted(table["tap"].unique(), reverse=True)
    pairs = list(dict.fromkeys(zip(table["bucket_a"], table["bucket_b"], strict=True)))
    for row in rows(table):
        x, y = pairs.index((row.bucket_a, row.bucket_b)), taps.index(row.tap)
        measured = row.cosine == row.cosine
        color = to_rgba(LINE, 0.4)
        if measured:
            color = to_rgba(ACCENT if row.cosine >= 0 else AGAINST, tint(abs(row.cosine)))
        cell = Rectangle((x + 0.02, y + 0.05), 0.96, 0.9, linewidth=0, facecolor=color)
        value = f"{row.cosine:+.3f}" if measured else "not measured"
        mark(cell, f"{row.variant}, {row.tap}: {row.bucket_a} and {row.bucket_b}: cosine {value}")
        ax.add_patch(cell)
        ax.text(
            x + 0.5, y + 0.5, f"{row.cosine:+.2f}".replace("-", "−") if measured else "–",
            ha="center", va="center_baseline", color=INK if measured else MUTED, fontsize=10.5,
        )  # fmt: skip
    for x, (a, b) in enumerate(pairs):
        ax.text(x + 0.5, -0.15, f"{a} · {b}", ha="center", va="bottom", fontsize=9, color=MUTED)
    ax.set(xlim=(0, len(pairs)), ylim=(len(taps), -0.6))
    ax.set_yticks([at + 0.5 for at in range(len(taps))], taps)
    ax.set_xticks([])
    ax.tick_params(axis="y", labelcolor=INK)
    ax.spines[["left", "bottom"]].set_visible(False)
    return ax
