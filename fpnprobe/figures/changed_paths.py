"""Paths of the gradient that an intervention changes, and for whose gradient."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from fpnprobe.figures.columns import require, rows, split
from fpnprobe.figures.palette import INK, LINE, MUTED, bucket_color
from fpnprobe.figures.svg import mark

COLUMNS = ("variant", "stage", "route", "bucket", "gain")
_HALF, _STAGE, _LEVEL, _AUXILIARY = 0.36, 4.2, 9.0, 0.6  # of a box; x of the columns' middles
_SPACING = 0.17


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one intervention: stages in the middle, levels right, a line per route and bucket.

    A line that is silenced is dashed and crossed out, one that is scaled says its factor, one
    whose factor follows the running gradient has an equals sign.

    Args:
        table: One row per stage, route and bucket; `gain` NaN where a rule sets it in training.
        ax: Where to draw.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    stages = sorted(set(table["stage"]))
    buckets = list(dict.fromkeys(table["bucket"]))
    height = {stage: float(at) * 1.6 for at, stage in enumerate(stages)}
    top = max(height.values(), default=0.0)
    for (stage, route), rows_of_group in table.groupby(["stage", "route"], sort=False):
        y = height[str(stage)]
        lines = list(rows(rows_of_group))
        for at, row in enumerate(lines):
            off = (at - (len(lines) - 1) / 2) * _SPACING
            if route == "deeper" and y < top:
                x = _STAGE + 2.2 * off
                _draw_line(ax, (x, y + 1.6 - _HALF), (x, y + _HALF), row, buckets)
            elif route == "direct":
                _draw_line(ax, (_LEVEL - 0.8, y - off), (_STAGE + 0.8, y - off), row, buckets)
            elif route == "auxiliary":
                _draw_line(ax, (_AUXILIARY + 0.6, y - off), (_STAGE - 0.8, y - off), row, buckets)
        _write_word(ax, rows_of_group, str(route), y)
    has_levels = table.loc[table["route"] == "direct", "stage"].nunique() > 1  # DC5 has none
    for name, rows_of_group in split(table, "stage"):
        _draw_box(ax, name, (_STAGE, height[name]))
        if (rows_of_group["route"] == "direct").any():
            _draw_box(ax, f"P{name[1:]}" if has_levels else "head", (_LEVEL, height[name]))
        if (rows_of_group["route"] == "auxiliary").any():
            _draw_box(ax, "aux", (_AUXILIARY, height[name]))
    ax.set(xlim=(-0.3, 10), ylim=(-0.6, top + 0.6))
    ax.axis("off")
    return ax


def _draw_line(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], row: object, buckets: list[str]
) -> None:
    gain = float(row.gain)  # type: ignore[attr-defined]
    bucket = str(row.bucket)  # type: ignore[attr-defined]
    silent = gain == 0
    (line,) = ax.plot(
        [start[0], end[0]], [start[1], end[1]], color=bucket_color(bucket, buckets),
        linewidth=1.2 if silent else 2.4, linestyle=(0, (1.5, 2.5)) if silent else "-", zorder=1,
    )  # fmt: skip
    sentence = "set by the running gradient" if math.isnan(gain) else f"times {gain:g}"
    mark(line, f"{row.variant}, {row.stage} {row.route}, {bucket}: {sentence}")  # type: ignore[attr-defined]
    if not silent:
        across = start[1] == end[1]
        ax.plot(
            *end, marker="<" if across else "v", markersize=5, color=bucket_color(bucket, buckets)
        )


def _write_word(ax: Axes, rows_of_route: pd.DataFrame, route: str, y: float) -> None:
    """Write what happens to a route in the middle of its lines."""
    gains = list(rows_of_route["gain"])
    if all(gain == 1 for gain in gains):
        return
    if any(math.isnan(gain) for gain in gains):
        text = "="
    elif set(gains) <= {0.0, 1.0}:
        text = "×"
    else:
        text = " ".join(f"×{gain:g}" for gain in sorted(set(gains) - {1.0}))
    middle = (len(gains) - 1) / 2
    touched = [at - middle for at, gain in enumerate(gains) if gain != 1]  # NaN is touched, too
    off = _SPACING * sum(touched) / len(touched)
    x = {"direct": (_STAGE + _LEVEL) / 2, "auxiliary": (_STAGE + _AUXILIARY) / 2}.get(route, _STAGE)
    down = route == "deeper"
    ax.text(
        x + (2.2 * off if down else 0.0), y + (0.8 if down else -off), text, ha="center",
        va="center", color=INK,
        fontsize=11, weight="bold", zorder=3,
        bbox={"boxstyle": "circle,pad=0.12", "facecolor": LINE, "edgecolor": MUTED, "lw": 0.6},
    )  # fmt: skip


def _draw_box(ax: Axes, name: str, at: tuple[float, float]) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (at[0] - 0.62, at[1] - _HALF + 0.08), 1.24, 2 * _HALF - 0.16,
            boxstyle="round,pad=0.08,rounding_size=0.15", facecolor=LINE, edgecolor="none",
            zorder=2,
        )
    )  # fmt: skip
    ax.text(*at, name, ha="center", va="center_baseline", weight="bold", fontsize=11, zorder=3)
