"""Figure 5: what a stage or level sees in an image, on one scale for all variants and levels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import MUTED, bucket_color
from fpnprobe.figures.svg import mark
from fpnprobe.figures.wording import signed

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
    compactness: float | None = None,
) -> Axes:
    """Draw one map with the image's boxes, and the part of its energy inside them below.

    Args:
        table: boxes in px of the original image, with their bucket.
        ax: where to draw.
        values: (h, w) root mean square over channels; (h, w, 3) for a picture.
        size: width and height of the original image, px.
        top: value drawn brightest, shared by all maps of the figure.
        energy: bucket to the part of the map's energy inside its boxes, in [0, 1].
        label: what the map is, for hover.
        buckets: names of all buckets, in order.
        compactness: of the channels in groups (`group_compactness`), set below; NaN is a dash, None
            sets nothing.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    width, height = size
    ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    ax.set_aspect("equal", anchor="NW")
    ax.spines[:].set_visible(False)
    ax.imshow(
        values, cmap="magma", norm=PowerNorm(0.5, 0, top, clip=True), interpolation="none",
        extent=(0, width, height, 0),
    )  # fmt: skip
    for row in rows(table):
        corner, width_, height_ = (row.x0, row.y0), row.x1 - row.x0, row.y1 - row.y0
        for line, color in ((2.8, "#ffffff"), (1.5, bucket_color(row.bucket, buckets))):
            ax.add_patch(
                Rectangle(corner, width_, height_, fill=False, linewidth=line, edgecolor=color)
            )
    if compactness is not None:
        said = "–" if math.isnan(compactness) else signed(compactness, 2)
        mark(
            ax.text(
                0, height * 1.04, f"\ncompact {said}", va="top", fontsize=9, color=MUTED,
                linespacing=1.35,
            ),
            f"{label}: channel-group compactness {said}",
        )  # fmt: skip
    if not energy:
        return ax
    text = "  ".join(f"{name[0].upper()} {100 * part:.0f}" for name, part in energy.items())
    note = ax.text(0, height * 1.04, f"{text} %", va="top", fontsize=9, color=MUTED)
    mark(
        note,
        f"{label}: energy inside "
        + ", ".join(f"{name} boxes {100 * part:.1f} %" for name, part in energy.items()),
    )
    return ax
