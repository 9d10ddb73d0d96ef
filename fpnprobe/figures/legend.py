"""The legend of a figure: one row of keys above the panels, wrapped to the figure's width."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from fpnprobe.figures.markup import LEGEND
from fpnprobe.figures.palette import MUTED, SOLID, SURFACE, Dash
from fpnprobe.figures.wording import short

LINE_HEIGHT = 24
_SIZE = 10.5
_DASHES: Dash = (0, (3, 2))


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend; `shape` is `box`, `line`, `dash`, `hatch` or a matplotlib marker.

    `dash` is the style of a line; `series` names what a reader can hide by it on a page.
    """

    label: str
    color: str
    shape: str = "box"
    dash: Dash = SOLID
    series: str = ""


def _text_width(text: str, size: float) -> float:
    path = TextPath((0, 0), text, prop=FontProperties(family="DejaVu Sans", size=size))
    return float(path.get_extents().width) if path.vertices.size else 0.0


def wrap(keys: Sequence[Key], width: int) -> list[list[tuple[float, Key]]]:
    """Lines of keys with the x of each, in px, none wider than `width`."""
    lines: list[list[tuple[float, Key]]] = []
    x = width + 1.0
    for key in keys:
        key_width = _measure_swatch(key) + 6 + _text_width(short(key.label, 44), _SIZE) + 18
        if x + key_width > width:
            lines.append([])
            x = 2.0
        lines[-1].append((x, key))
        x += key_width
    return lines


def draw(
    figure: Figure, line: list[tuple[float, Key]], *, y: float, width: int, height: int
) -> None:
    """Draw one line of keys, its middle `y` px from the top of a figure of that size."""

    def place(px: float, py: float) -> tuple[float, float]:
        return px / width, 1 - py / height

    for x, key in line:
        artist: Artist
        if key.shape in ("box", "hatch"):
            corner = place(x, y + 5)
            artist = Rectangle(corner, 12 / width, 10 / height, facecolor=key.color, linewidth=0)
            if key.shape == "hatch":
                artist.set(hatch="////", edgecolor=SURFACE)
            artist.set_transform(figure.transFigure)
        elif key.shape in ("line", "dash"):
            (x0, y0), (x1, _) = place(x, y), place(x + _measure_swatch(key), y)
            artist = Line2D(
                [x0, x1], [y0, y0], color=key.color,
                linewidth=2.2 if key.shape == "line" else 1.4,
                linestyle=key.dash if key.shape == "line" else _DASHES,
            )  # fmt: skip
        else:
            at = place(x + 6, y)
            artist = Line2D(
                [at[0]], [at[1]], marker=key.shape, color="none", markersize=7.5,
                markeredgecolor=key.color, markerfacecolor="none", markeredgewidth=1.4,
            )  # fmt: skip
        figure.add_artist(artist)
        text = figure.text(
            *place(x + _measure_swatch(key) + 6, y),
            short(key.label, 44),
            fontsize=_SIZE,
            va="center_baseline",
            color=MUTED,
        )
        if key.series:
            for drawn in (artist, text):
                drawn.set_gid(LEGEND + key.series)


def _measure_swatch(key: Key) -> int:
    """Room of a key's sample in px; a dashed line needs more to show its dashes."""
    return 14 if key.dash == SOLID else 26
