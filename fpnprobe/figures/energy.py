"""A heat map of all maps: how far their energy stands out in the boxes of one object size."""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.contrast import ink_on
from fpnprobe.figures.palette import INK
from fpnprobe.figures.svg import mark
from fpnprobe.figures.wording import short

COLUMNS = ("variant", "tap", "bucket", "energy", "area", "contrast")


def draw(table: pd.DataFrame, ax: Axes, *, reach: float) -> Axes:
    """Draw one bucket: a row per variant, a column per stage and level, `contrast` in each cell.

    Args:
        table: One bucket; `energy` of a map inside the boxes and `area`, its cells that they
            touch, as parts of the whole, in [0, 1], and `contrast`, the one over the other; NaN
            where a variant has no such map.
        ax: Where to draw.
        reach: Contrast drawn darkest, shared by all buckets.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    names = list(dict.fromkeys(table["variant"]))
    taps = sorted(set(table["tap"]))
    wide = table.pivot_table("contrast", "variant", "tap", aggfunc="first").reindex(
        index=names, columns=taps
    )
    options: dict[str, Any] = {"vmin": 0.0, "vmax": reach, "cbar": False, "linewidths": 1.5}
    sns.heatmap(
        wide, ax=ax, cmap="crest", annot=True, fmt=".1f", linecolor="none",
        annot_kws={"fontsize": 10.5, "va": "center_baseline"}, **options,
    )  # fmt: skip
    for text, color in zip(ax.texts, _colors_of_numbers(ax, wide), strict=True):
        text.set_color(ink_on(color))
    for row in rows(table.dropna(subset="energy")):
        cell = Rectangle(
            (taps.index(row.tap), names.index(row.variant)), 1, 1, facecolor="#000000", alpha=0.0,
            linewidth=0,
        )  # fmt: skip
        mark(
            cell,
            f"{row.variant} {row.tap}: {100 * row.energy:.1f} % of the energy is in the cells that "
            f"{row.bucket} boxes touch, {100 * row.area:.1f} % of the map",
        )
        ax.add_patch(cell)
    ax.set(xlabel="", ylabel="")
    ax.set_yticks([at + 0.5 for at in range(len(names))], [short(n, 14) for n in names], rotation=0)
    ax.tick_params(axis="both", labelcolor=INK, labelrotation=0)
    return ax


def _colors_of_numbers(ax: Axes, wide: pd.DataFrame) -> list[str]:
    """The color of every cell of a heat map that has a number, in their order."""
    mesh: Any = ax.collections[0]
    colors = zip(mesh.get_facecolor(), wide.notna().to_numpy().ravel(), strict=True)
    return [to_hex(color) for color, measured in colors if measured]
