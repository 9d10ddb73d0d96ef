"""Each figure drawn twice: for a page's width and for a phone's."""

import re
from dataclasses import dataclass
from typing import Any

from fpnprobe.figures.svg import render, row_cuts
from fpnprobe.report.page.content import Figure

WIDE, NARROW = 780, 360


@dataclass(frozen=True, slots=True)
class Drawing:
    """SVG text of a figure, `wide` for pages and PDF, `narrow` for small screens.

    `cuts` are the heights in px at which the wide one can be cut between two rows of panels.
    """

    wide: str
    narrow: str
    cuts: tuple[float, ...] = ()

    @property
    def height(self) -> float:
        """Height of the wide one in px."""
        match = re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', self.wide)
        assert match is not None
        return float(match[1])


def layout_of(figure: Figure) -> dict[str, Any]:
    """The layout of a figure beside its panels, columns and width."""
    return {
        "height": figure.height,
        "left": figure.left,
        "right": figure.right,
        "gap": figure.gap,
        "bottom": figure.bottom,
        "keys": figure.keys,
        "share": figure.share,
    }


def draw(figure: Figure) -> Drawing:
    """Render both layouts; they differ in the panels to a row alone."""
    layout = layout_of(figure)
    return Drawing(
        render(figure.panels, slug=figure.name, columns=figure.columns, width=WIDE, **layout),
        render(
            figure.panels, slug=f"{figure.name}-n", columns=figure.narrow, width=NARROW, **layout
        ),
        row_cuts(
            figure.panels, columns=figure.columns, width=WIDE, height=figure.height,
            bottom=figure.bottom, keys=figure.keys,
        ),
    )  # fmt: skip
