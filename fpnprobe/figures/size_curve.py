"""AP against object size, with bands: where on the scale axis variants part."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from fpnprobe.figures.columns import require, rows, split
from fpnprobe.figures.palette import MUTED
from fpnprobe.figures.svg import mark

COLUMNS = ("variant", "sqrt_area", "ap", "band_low", "band_high", "n_objects")


def draw(
    table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str], borders: Sequence[float] = ()
) -> Axes:
    """Draw a line with its band per variant over the square root of the object's area.

    Args:
        table: `sqrt_area` in px, `ap` and the band in AP points, NaN where a bin has no object.
        ax: where to draw.
        colors: of each variant, from `variant_colors`.
        borders: borders of the buckets in px, as thin lines.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    many = table["variant"].nunique() > 4
    for variant, line in split(table, "variant"):
        color = colors[variant]
        line = line.sort_values("sqrt_area")
        ax.fill_between(
            line["sqrt_area"], line["band_low"], line["band_high"], color=color,
            alpha=0.07 if many else 0.16,
            linewidth=0,
        )  # fmt: skip
        style = "--" if "~" in variant else "-"
        ax.plot(line["sqrt_area"], line["ap"], color=color, linewidth=2.2, linestyle=style)
        for row in rows(line.dropna(subset="ap")):
            (dot,) = ax.plot(row.sqrt_area, row.ap, marker="o", markersize=4.6, color=color)
            band = (
                f", band {row.band_low:.1f} to {row.band_high:.1f}"
                if row.band_low == row.band_low
                else ""
            )
            mark(
                dot,
                f"{variant}, objects near {row.sqrt_area:.0f} px: AP {row.ap:.1f}{band} "
                f"({row.n_objects} objects)",
            )
    for border in borders:
        ax.axvline(border, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    ax.set_xscale("log")
    ticks = [t for t in (4, 8, 16, 32, 64, 128, 256, 512, 1024) if _inside(t, table["sqrt_area"])]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    top = 1.5 * table["ap"].max()  # a band of two seeds, wider than all else, runs out of the panel
    if top > 0:
        ax.set_ylim(0, min(top, ax.get_ylim()[1]))
    ax.set(ylim=(0, None), xlabel="square root of the object's area, px")
    ax.grid(axis="y")
    ax.spines["left"].set_visible(False)
    return ax


def _inside(tick: float, sizes: "pd.Series[float]") -> bool:
    return bool(sizes.min() * 0.9 <= tick <= sizes.max() * 1.1)
