"""AP against object size, with bands: where on the scale axis variants part."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows, split
from fpnprobe.figures.line_ends import label_end
from fpnprobe.figures.palette import LINE, MUTED, variant_dash
from fpnprobe.figures.svg import belong, mark

COLUMNS = ("variant", "sqrt_area", "ap", "band_low", "band_high", "n_objects")


MOST_BANDS = 4
"""Variants above which bands would hide each other: each gets a panel of its own."""


def draw(
    table: pd.DataFrame,
    ax: Axes,
    *,
    colors: Mapping[str, str],
    borders: Sequence[float] = (),
    only: str = "",
) -> Axes:
    """Draw a line with its band per variant over the square root of the object's area.

    Args:
        table: `sqrt_area` in px, `ap` and the band in AP points, NaN where a bin has no object.
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.
        borders: Borders of the buckets in px, as thin lines.
        only: The variant that this panel is of; the others are gray lines without bands.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    for variant, line in split(table, "variant"):
        line = line.sort_values("sqrt_area")
        if only not in ("", variant):
            ax.plot(line["sqrt_area"], line["ap"], color=LINE, linewidth=1.2, zorder=1)
            continue
        color = colors[variant]
        band = ax.fill_between(
            line["sqrt_area"], line["band_low"], line["band_high"], color=color, alpha=0.16,
            linewidth=0,
        )  # fmt: skip
        (curve,) = ax.plot(
            line["sqrt_area"], line["ap"], color=color, linewidth=2.2,
            linestyle=variant_dash(variant),
        )  # fmt: skip
        for artist in (band, curve):
            belong(artist, variant)
        measured = line.dropna(subset="ap")
        if len(measured) and not only:
            label_end(ax, measured["ap"].iloc[-1], variant)
        for row in rows(line.dropna(subset="ap")):
            (dot,) = ax.plot(row.sqrt_area, row.ap, marker="o", markersize=4.6, color=color)
            reach = (
                f", band {row.band_low:.1f} to {row.band_high:.1f}"
                if row.band_low == row.band_low
                else ""
            )
            mark(
                dot,
                f"{variant}, objects near {row.sqrt_area:.0f} px: AP {row.ap:.1f}{reach} "
                f"({row.n_objects} objects)",
                series=variant,
            )
    for border in borders:
        ax.axvline(border, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    ax.set_xscale("log")
    sizes = table.loc[table["ap"].notna(), "sqrt_area"]
    if len(sizes):  # bins without an object take no room
        ax.set_xlim(float(sizes.min()) * 0.93, float(sizes.max()) * 1.07)
    ticks = [t for t in (4, 8, 16, 32, 64, 128, 256, 512, 1024) if _lies_inside(t, sizes)]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    top = 1.5 * table["ap"].max()  # a band of two seeds, wider than all else, runs out of the panel
    if top > 0:
        ax.set_ylim(0, min(top, ax.get_ylim()[1]))
    ax.set(ylim=(0, None), xlabel="√area of the object, px", ylabel="AP, points")
    ax.grid(axis="y")
    ax.spines["left"].set_visible(False)
    return ax


def _lies_inside(tick: float, sizes: "pd.Series[float]") -> bool:
    return bool(sizes.min() * 0.9 <= tick <= sizes.max() * 1.1)
