"""Read back what a figure drew: rectangles, points, and the exact texts of its marks."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle

from fpnprobe.errors import FpnProbeError
from fpnprobe.figures.markup import BETWEEN, MARK


def marks(ax: Axes) -> list[str]:
    """Texts of all marks, in drawing order."""
    gids = [artist.get_gid() for artist in ax.get_children()]
    marked = [gid.removeprefix(MARK) for gid in gids if gid and gid.startswith(MARK)]
    return [text.partition(BETWEEN)[0] for text in marked]


def is_marked(artist: Artist) -> bool:
    return str(artist.get_gid()).startswith(MARK)


def lines(ax: Axes) -> list[Any]:
    return list(ax.lines)


def bars(ax: Axes) -> list[Any]:
    return [p for p in ax.patches if isinstance(p, Rectangle) and is_marked(p)]


def ribbons(ax: Axes) -> list[Any]:
    return [p for p in ax.patches if isinstance(p, PathPatch) and is_marked(p)]


def dots(ax: Axes) -> list[tuple[float, float]]:
    """Coordinates of marked points."""
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in lines(ax)
        if is_marked(line)
    ]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def assert_needs_columns(
    draw: Callable[[pd.DataFrame, Axes], object], table: pd.DataFrame, ax: Axes
) -> None:
    """Every documented column is needed: without it, an error that names it."""
    for column in table.columns:
        with pytest.raises(FpnProbeError, match=f"no column {column}"):
            draw(table.drop(columns=column), ax)
