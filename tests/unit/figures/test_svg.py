"""The SVG of a figure: deterministic, clean, escaped, and themed."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib.axes import Axes

from fpnprobe.figures.legend import Key
from fpnprobe.figures.markup import themed
from fpnprobe.figures.svg import Panel, mark, render

HOSTILE = (
    '<script>alert("x")</script>',
    "100 % \\alpha $x_1$ #let",
    "🦊 & ✓",
    "n" * 200,
    "]]>-->",
    '"both\' quotes"',
    "font-family: x; d='1.23456'",
)


def bar(ax: Axes, text: str = "a bar") -> None:
    (patch,) = ax.barh(0, 3.123456, color="#c8453b")
    mark(patch, text)
    ax.text(1, 0, text)


def titles(svg: str) -> list[str | None]:
    root = ElementTree.fromstring(svg)
    return [node.text for node in root.iter("{http://www.w3.org/2000/svg}title")]


def test_same_bytes_twice() -> None:
    one, two = (render([Panel("a", bar)], slug="f", columns=1) for _ in range(2))
    assert one == two
    assert "<metadata>" not in one and "<!DOCTYPE" not in one


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name: str) -> None:
    svg = render(
        [Panel(name, lambda ax: bar(ax, name))], slug="f", columns=1, keys=[Key(name, "#c8453b")]
    )
    assert titles(svg) == [name]
    assert "<script" not in svg


def test_only_own_ids_are_left() -> None:
    def clipped(ax: Axes) -> None:
        bar(ax)
        ax.plot([0, 1], [0, 1], marker="o")

    svg = render([Panel("a", clipped)], slug="mine", columns=1)
    ids = [node.get("id") for node in ElementTree.fromstring(svg).iter() if node.get("id")]
    assert ids and all(str(name).startswith("mine-") for name in ids)
    assert svg.count("url(#") == svg.count("url(#mine-") > 0


def test_a_theme_can_change_every_color() -> None:
    svg = render([Panel("a", bar)], slug="f", columns=1)
    assert "fill: var(--cc8453b, #c8453b)" in themed(svg)
    assert "var(--" not in svg
    assert "DejaVu" in svg and "DejaVu" not in themed(svg)


def test_rows_and_shared_axes() -> None:
    limits = []

    def draw(high: float) -> Panel:
        def panel(ax: Axes) -> None:
            ax.plot([0, 1], [0, high])
            limits.append(ax)

        return Panel("p", panel)

    render([draw(1.0), draw(5.0)], slug="f", columns=2)
    assert limits[0].get_ylim() == limits[1].get_ylim()
    limits.clear()
    render([draw(1.0), draw(5.0)], slug="f", columns=2, share="")
    assert limits[0].get_ylim() != limits[1].get_ylim()


def test_a_panel_can_begin_a_row() -> None:
    def height(panels: list[Panel]) -> float:
        box = ElementTree.fromstring(render(panels, slug="f", columns=4)).get("viewBox")
        return float(str(box).split()[3])

    flat = [Panel("", bar), Panel("", bar)]
    assert height([flat[0], Panel("", bar, new_row=True)]) > height(flat)


def test_every_reference_leads_to_something() -> None:
    def hatched(ax: Axes) -> None:
        (patch,) = ax.barh(0, 3.0, color="#c8453b")
        patch.set(hatch="////", edgecolor="#ffffff")

    svg = render([Panel("one", hatched)], slug="fig", columns=1)
    assert "<pattern" in svg
    assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= set(re.findall(r' id="([^"]+)"', svg))
