"""Text stands above the marks, on a halo or on a named ground, and stands out from it."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from fpnprobe.figures import conflict, energy, routes
from fpnprobe.figures.contrast import contrast, mix
from fpnprobe.figures.legend import Key
from fpnprobe.figures.markup import themed
from fpnprobe.figures.palette import DARK, INK, SURFACE
from fpnprobe.figures.svg import Panel, render

REPORTS = sorted((Path(__file__).parents[3] / "reports").glob("*/figures"))
READABLE = 4.5


def letters(svg: str) -> list[tuple[str, str, tuple[str, float] | None]]:
    """What each text says, its color, and color and opacity of its ground if it names one."""
    found = []
    for style, rest, text in re.findall(r'<text style="([^"]*)"([^>]*)>(.*?)</text>', svg):
        named = re.search(r'data-ground="(\S+) (\S+)"', rest)
        ink = re.search(r"fill: (#\w{6})", style)
        ground = (named[1], float(named[2])) if named else None
        found.append((text, ink[1] if ink else "#000000", ground))
    return found


def hard_to_read(svg: str) -> list[tuple[str, float]]:
    """Texts below 4.5:1 in one of the two themes, with their contrast."""
    hard = []
    for text, ink, ground in letters(svg):
        for theme in ({}, dict(DARK)):
            under = theme.get(SURFACE, SURFACE)
            if ground is not None:
                under = mix(theme.get(ground[0], ground[0]), under, ground[1])
            ratio = contrast(theme.get(ink, ink), under)
            hard += [(text, round(ratio, 2))] if ratio < READABLE else []
    return hard


def draw_cell(ax: Axes) -> None:
    ax.add_patch(Rectangle((0.0, 0.0), 0.5, 1.0, facecolor="#413f9a", alpha=0.4, linewidth=0))
    ax.text(0.25, 0.5, "on the cell", ha="center", va="center_baseline", color=INK)
    ax.text(0.75, 0.5, "beside it", ha="center", va="center_baseline", color=INK)


def test_text_comes_last_and_names_its_ground() -> None:
    svg = render([Panel("title", draw_cell)], slug="f", columns=1)
    ElementTree.fromstring(svg)
    assert svg.index('class="letters"') > svg.rindex("<path")
    grounds = {text: ground for text, _, ground in letters(svg)}
    assert grounds["on the cell"] == ("#413f9a", 0.4)
    assert grounds["beside it"] is None and grounds["title"] is None


def test_a_page_learns_ground_and_ink() -> None:
    page = themed(render([Panel("", draw_cell)], slug="f", columns=1))
    ElementTree.fromstring(page)
    mixed = "color-mix(in srgb, var(--c413f9a, #413f9a) 40%, var(--cffffff, #ffffff))"
    assert f'<tspan style="background-color: {mixed}">on the cell</tspan>' in page
    assert "color: var(--c1d2530, #1d2530); fill: currentColor" in page
    assert "data-ground" not in page


def test_what_a_legend_hides_keeps_its_name() -> None:
    keys = [Key("FPN", "#d60808", shape="line", series="FPN")]
    svg = render([Panel("", draw_cell)], slug="f", columns=1, keys=keys)
    assert re.search(r'<g class="key" data-series="FPN"><text [^>]*>FPN</text></g>', svg)
    assert svg.count('data-series="FPN"') == 2  # the sample stays where it was drawn


def test_cells_of_every_depth_are_readable() -> None:
    """Shares, cosines and energies from 0 to 1, in both themes."""
    steps = [at / 20 for at in range(21)]
    shares = pd.DataFrame(
        [
            {"variant": "FPN", "tap": f"C{at}", "route": "total", "bucket": bucket,
             "share": share, "state": "measured"}
            for at, share in enumerate(steps)
            for bucket in ("small", "medium", "large")
        ]
    )  # fmt: skip
    cosines = pd.DataFrame(
        [
            {"variant": "FPN", "tap": f"C{at}", "bucket_a": "small", "bucket_b": bucket,
             "cosine": sign * step}
            for at, step in enumerate(steps)
            for bucket, sign in (("medium", 1), ("large", -1))
        ]
    )  # fmt: skip
    heat = pd.DataFrame(
        [
            {
                "variant": "FPN",
                "tap": f"C{at:02}",
                "bucket": "small",
                "energy": step,
                "area": 0.1,
                "contrast": step,
            }
            for at, step in enumerate(steps)
        ]
    )
    svg = render(
        [
            Panel("", lambda ax: routes.draw(shares, ax)),
            Panel("", lambda ax: conflict.draw(cosines, ax)),
            Panel("", lambda ax: energy.draw(heat, ax, reach=1.0)),
        ],
        slug="f", columns=1, height=900, share="",
    )  # fmt: skip
    assert sum(ground is not None for *_, ground in letters(svg)) >= 5 * len(steps)
    assert not hard_to_read(svg)


@pytest.mark.parametrize("folder", REPORTS, ids=lambda folder: folder.parent.name)
def test_contrast_of_every_stored_figure_is_decided(folder: Path) -> None:
    figures = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.svg")}
    assert figures and all("letters" in svg for svg in figures.values())
    hard = {name: hard_to_read(svg) for name, svg in figures.items()}
    assert not {name: texts for name, texts in hard.items() if texts}
