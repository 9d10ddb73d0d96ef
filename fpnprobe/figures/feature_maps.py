"""Figure 5: what a stage or level sees in an image, on one scale for all variants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import MUTED, bucket_color
from fpnprobe.figures.svg import mark
from fpnprobe.figures.wording import short

COLORS = "magma"
COLUMNS = ("x0", "y0", "x1", "y1", "bucket")


def draw(
    table: pd.DataFrame,
    ax: Axes,
    *,
    values: npt.NDArray[Any],
    size: tuple[float, float],
    top: float,
    energy: Mapping[str, float],
    label: str,
    buckets: Sequence[str],
    row: str = "",
) -> Axes:
    """Draw one map with the image's boxes; the part of its energy inside them shows on hover.

    Args:
        table: Boxes in px of the original image, with their bucket.
        ax: Where to draw.
        values: (h, w) root mean square over channels; (h, w, 3) for a picture.
        size: Width and height of the original image, px.
        top: Value drawn brightest, shared by all maps of one scale.
        energy: Bucket to the part of the map's energy inside its boxes, in [0, 1].
        label: What the map is, for hover.
        buckets: Names of all buckets, in order.
        row: What the row of maps is, left of its first.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    width, height = size
    ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    ax.set_aspect("equal", anchor="NW")
    ax.spines[:].set_visible(False)
    ax.imshow(
        values,
        cmap=COLORS,
        norm=_brightness_norm(top),
        interpolation="none",
        extent=(0, width, height, 0),
    )
    for box in rows(table):
        corner, width_, height_ = (box.x0, box.y0), box.x1 - box.x0, box.y1 - box.y0
        for line, color in ((2.2, "#ffffff"), (1.2, bucket_color(box.bucket, buckets))):
            ax.add_patch(
                Rectangle(corner, width_, height_, fill=False, linewidth=line, edgecolor=color)
            )
    if row:
        ax.text(
            -0.06 * width, height / 2, short(row, 14), ha="right", va="center", fontsize=11,
            weight="bold",
        )  # fmt: skip
    if energy:
        cover = Rectangle((0, 0), width, height, facecolor="#000000", alpha=0.0, linewidth=0)
        mark(
            cover,
            f"{label}: energy inside "
            + ", ".join(f"{name} boxes {100 * share:.1f} %" for name, share in energy.items()),
        )
        ax.add_patch(cover)
    return ax


def draw_scale(ax: Axes, *, top: float, title: str) -> Axes:
    """Draw the color bar of a scale: what brightness means, from 0 to `top`.

    Args:
        ax: Where to draw; the bar is as wide as three maps.
        top: Value drawn brightest.
        title: What the scale is of.

    Returns:
        The same Axes.
    """
    ax.axis("off")
    bar = ax.inset_axes((0.0, 0.55, 3.2, 0.14))
    bar.imshow(
        np.linspace(0, top, 256)[None], cmap=COLORS, norm=_brightness_norm(top), aspect="auto",
        extent=(0, top, 0, 1),
    )  # fmt: skip
    bar.set(yticks=[], xticks=[0, top / 4, top], xticklabels=["0", f"{top / 4:.2g}", f"{top:.2g}"])
    bar.spines[:].set_visible(False)
    bar.set_title(title, fontsize=10.5, color=MUTED, loc="left")
    return ax


def _brightness_norm(top: float) -> PowerNorm:
    return PowerNorm(0.5, 0, top, clip=True)
