"""Effects of interventions on AP, against their controls: every interval, every seed."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import INK, MUTED, SURFACE
from fpnprobe.figures.svg import mark
from fpnprobe.figures.wording import short

COLUMNS = (
    "variant", "twin", "metric", "difference", "low", "high", "low_images", "high_images", "seeds",
)  # fmt: skip


def draw(table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str]) -> Axes:
    """Draw one metric: a row per intervention with its mean change, intervals and seeds.

    Args:
        table: A row per intervention from top, in AP points: `low` to `high` over seeds and images
            together (NaN with one seed), `low_images` to `high_images` over images alone, `seeds`
            the change of each seed.
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    bounds = ["difference", "low", "high", "low_images", "high_images"]
    ends = [v for name in bounds for v in table[name]] + [v for s in table["seeds"] for v in s]
    ends = [0.0, *(v for v in ends if v == v)]
    pad = max(0.5, 0.08 * (max(ends) - min(ends)))
    ax.axvline(0, color=MUTED, linewidth=1)
    for at, row in enumerate(rows(table)):
        if row.difference != row.difference:
            ax.text(0, at, "  not measured", va="center", color=MUTED, fontsize=10)
            continue
        color = colors[row.variant]
        if row.low == row.low:
            ax.plot([row.low, row.high], [at, at], color=color, linewidth=1.4)
        if row.low_images == row.low_images:
            ax.plot(
                [row.low_images, row.high_images], [at, at], color=color, linewidth=4.6,
                alpha=0.45, solid_capstyle="butt",
            )  # fmt: skip
        (dot,) = ax.plot(row.difference, at, marker="o", markersize=8, color=color)
        mark(dot, _describe_row(row))
        if len(row.seeds) > 1:
            ax.plot(
                row.seeds, [at] * len(row.seeds), linestyle="none", marker="o", markersize=3.4,
                color=SURFACE, markeredgecolor=INK, markeredgewidth=0.8,
            )  # fmt: skip
        ax.text(
            row.difference, at - 0.24, f"{row.difference:+.1f}".replace("-", "−"), ha="center",
            va="bottom", weight="bold", fontsize=10,
        )  # fmt: skip
    ax.set(
        xlabel="difference, AP points",
        xlim=(min(ends) - pad, max(ends) + pad),
        ylim=(len(table) - 0.5, -0.8),
    )
    ax.set_yticks(
        range(len(table)), [short(_name_intervention(name), 18) for name in table["variant"]]
    )
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="x")
    ax.spines[["left", "bottom"]].set_visible(False)
    return ax


def _name_intervention(name: str) -> str:
    """Name the intervention without the pyramid's name."""
    return name.partition("~")[2] or name


def _describe_row(row: object) -> str:
    sentence = f"{row.variant} − {row.twin}, {row.metric}: {row.difference:+.1f}"  # type: ignore[attr-defined]
    for name, low, high in (
        ("seeds and images", row.low, row.high),  # type: ignore[attr-defined]
        ("images alone", row.low_images, row.high_images),  # type: ignore[attr-defined]
    ):
        if low == low:
            sentence += f"; {low:+.1f} to {high:+.1f} over {name}"
    if len(row.seeds) > 1:  # type: ignore[attr-defined]
        sentence += "; seeds " + ", ".join(f"{v:+.1f}" for v in row.seeds)  # type: ignore[attr-defined]
    return sentence
