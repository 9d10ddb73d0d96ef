"""From panels to one SVG: same bytes for the same input, values as tooltips, colors that follow."""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpnprobe.figures import legend, line_ends
from fpnprobe.figures.legend import Key
from fpnprobe.figures.markup import BETWEEN, MARK, SERIES, finish
from fpnprobe.figures.svg_style import STYLE
from fpnprobe.figures.wording import short


@dataclass(frozen=True, slots=True)
class Panel:
    """One Axes of a figure: its title, the function that draws into it, and if a row begins.

    `height` of its Axes in px, where it is not that of all panels.
    """

    title: str
    draw: Callable[[Axes], object]
    new_row: bool = False
    height: int = 0


def mark(artist: Artist, text: str, *, series: str = "") -> None:
    """Give a drawn value its exact text: an SVG `<title>`, shown on hover and on arrow keys.

    `series` is the variant or bucket that it belongs to, which the legend of a page can hide.
    """
    belongs = f"{BETWEEN}{' '.join(series.split())}" if series else ""
    artist.set_gid(f"{MARK}{' '.join(text.split())}{belongs}")


def belong(artist: Artist, series: str) -> None:
    """Say which variant or bucket a line or band belongs to, which the legend can hide."""
    artist.set_gid(SERIES + " ".join(series.split()))


def compose(
    panels: Sequence[Panel],
    *,
    columns: int,
    width: int = 760,
    height: int = 220,
    left: int = 60,
    right: int = 10,
    gap: int = 28,
    bottom: int = 34,
    keys: Sequence[Key] = (),
    share: str = "y",
) -> Figure:
    """Draw the panels in rows of `columns` as a matplotlib figure, a point of it to the CSS pixel.

    Args:
        panels: What to draw; each has its title above it.
        columns: Panels in a row.
        width: Width of the SVG in px.
        height: Height of one panel's Axes in px.
        left: Room for tick labels left of the first column, in px.
        right: Room for labels at the ends of lines right of each column, in px.
        gap: Room between two columns, in px.
        bottom: Room for tick labels below a panel, in px.
        keys: The legend, above the panels.
        share: Axes on one scale in all panels: `y`, `xy`, or none.
    """
    columns = max(1, min(columns, len(panels)))
    places = _place_panels(panels, columns)
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A name may hold an emoji that the layout font lacks; the reader's own font draws it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        lines = legend.wrap(keys, width)
        starts, _, total = _place_rows(panels, places, height, bottom, len(lines))
        figure = Figure(figsize=(width / 72, total / 72), facecolor="none")
        for at, line in enumerate(lines):
            legend.draw(figure, line, y=legend.LINE_HEIGHT * (at + 0.5), width=width, height=total)
        gap = gap if "y" in share else max(gap, left)
        gap += right - 10
        across = (width - left - gap * (columns - 1) - right) / columns
        for panel, (row, column) in zip(panels, places, strict=True):
            x, y = left + column * (across + gap), starts[row]
            high = panel.height or height
            ax = figure.add_axes((x / width, 1 - (y + high) / total, across / width, high / total))
            panel.draw(ax)
            if column and "y" in share:
                ax.tick_params(labelleft=False)
                ax.set_ylabel("")
            start = x if column or columns > 1 else 2
            figure.text(
                start / width,
                1 - (y - 9) / total,
                short(panel.title, int(across / 7.6)),
                fontsize=11.5,
                weight="bold",
            )
        for axis in share:
            _one_scale(figure.axes, axis)
        for ax in figure.axes:
            line_ends.spread(ax, height)
    return figure


def row_cuts(
    panels: Sequence[Panel],
    *,
    columns: int,
    width: int,
    height: int,
    bottom: int,
    keys: Sequence[Key] = (),
) -> tuple[float, ...]:
    """Heights in px between the rows of panels of what `compose` draws of the same."""
    places = _place_panels(panels, max(1, min(columns, len(panels))))
    with mpl.rc_context(STYLE):
        starts, titles, _ = _place_rows(
            panels, places, height, bottom, len(legend.wrap(keys, width))
        )
    return tuple(float(y - title) for y, title in zip(starts[1:], titles[1:], strict=True))


def _place_rows(
    panels: Sequence[Panel],
    places: Sequence[tuple[int, int]],
    height: int,
    bottom: int,
    lines: int,
) -> tuple[list[int], list[int], int]:
    """Place the rows: where their Axes begin, room for titles above them, the height of all."""
    top = legend.LINE_HEIGHT * lines + (6 if lines else 0)
    rows: list[list[Panel]] = [[] for _ in range(places[-1][0] + 1 if places else 0)]
    for panel, (row, _) in zip(panels, places, strict=True):
        rows[row].append(panel)
    titles = [24 if any(panel.title for panel in row) else 8 for row in rows]
    tall = [max(panel.height for panel in row) or height for row in rows]
    starts = [top + sum(titles[: r + 1]) + sum(tall[:r]) + r * bottom for r in range(len(rows))]
    return starts, titles, top + sum(titles) + sum(tall) + len(rows) * bottom


def to_svg(figure: Figure, slug: str) -> str:
    """The SVG of a composed figure; `slug` begins every id, unique within a page."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        return finish(_save_svg(figure), slug)


def render(panels: Sequence[Panel], *, slug: str, columns: int, **layout: Any) -> str:
    """Draw the panels (`compose`) and return the SVG (`to_svg`)."""
    return to_svg(compose(panels, columns=columns, **layout), slug)


def _place_panels(panels: Sequence[Panel], columns: int) -> list[tuple[int, int]]:
    """Row and column of each panel."""
    places: list[tuple[int, int]] = []
    for panel in panels:
        row, column = places[-1] if places else (0, -1)
        column += 1
        if column == columns or (panel.new_row and places):
            row, column = row + 1, 0
        places.append((row, column))
    return places


def _one_scale(axes: Sequence[Axes], axis: str) -> None:
    """Give all panels the widest limits; an axis that runs downward keeps its direction."""
    limits = [getattr(ax, f"get_{axis}lim")() for ax in axes]
    low, high = min(map(min, limits)), max(map(max, limits))
    for ax, (first, last) in zip(axes, limits, strict=True):
        getattr(ax, f"set_{axis}lim")((low, high) if first <= last else (high, low))


def _save_svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    keep = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=keep)
    return buffer.getvalue().decode()
