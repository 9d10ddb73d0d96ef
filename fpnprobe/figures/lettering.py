"""All text of a figure on top of its marks, each with the color of the ground that it stands on.

A label that lies over a line or a grid is hard to read, and nobody can tell its contrast. So text
is drawn last, with a halo of the page's surface; text on a filled shape says that shape's color as
`data-ground`, which a page turns into a background (`fpnprobe.figures.markup.themed`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.path import Path

from fpnprobe.figures.palette import SURFACE

HALO = f"paint-order: stroke; stroke: {SURFACE}; stroke-width: 2.5px; stroke-linejoin: round"
LETTERS = f'<g class="letters" style="{HALO}">'
_TEXT = re.compile(r"(<g [^>]*>)?\s*<text([^>]*)>(.*?)</text>", re.DOTALL)
_NUMBER = re.compile(r"-?[\d.]+")


@dataclass(frozen=True, slots=True)
class _Shape:
    """A filled path, in the order of painting."""

    outline: Path
    left: float
    top: float
    right: float
    bottom: float
    color: str
    opacity: float

    def holds(self, x: float, y: float) -> bool:
        in_box = self.left <= x <= self.right and self.top <= y <= self.bottom
        return in_box and bool(self.outline.contains_point((x, y)))


def letter(svg: str) -> str:
    """Move all text of an SVG to its end, on a halo or with its ground."""
    shapes = list(_filled_shapes(svg))
    letters: list[str] = []

    def lift(match: re.Match[str]) -> str:
        group, attributes, text = match[1] or "", match[2], match[3]
        ground = _find_ground(attributes, shapes)
        if ground:
            attributes = attributes.replace('style="', 'style="stroke: none; ', 1) + ground
        lifted = f"<text{attributes}>{text}</text>"
        letters.append(f"{group}{lifted}</g>" if "data-series" in group else lifted)
        return group

    left = _TEXT.sub(lift, svg)
    while (thinner := re.sub(r"<g[^>]*>\s*</g>\s*", "", left)) != left:
        left = thinner
    if not letters:
        return left
    body, end = left[: left.rindex("</svg>")], left[left.rindex("</svg>") :]
    return "\n".join([body.rstrip(), LETTERS, *letters, "</g>", end])


def _filled_shapes(svg: str) -> Iterator[_Shape]:
    drawn = re.sub(r"<(defs|clipPath)>?.*?</\1>", "", svg, flags=re.DOTALL)
    for shape in re.finditer(r"<path ([^>]*)/>", drawn):
        style = dict(re.findall(r"([a-z-]+): ([^;\"]+)", shape[1]))
        color = style.get("fill", "#000000")
        opacity = float(style.get("opacity", 1)) * float(style.get("fill-opacity", 1))
        numbers = [float(n) for n in _NUMBER.findall(_read_attribute(shape[1], "d"))]
        points = list(zip(numbers[::2], numbers[1::2], strict=False))
        if not color.startswith("#") or opacity <= 0 or len(points) < 3:
            continue
        across, down = [x for x, _ in points], [y for _, y in points]
        yield _Shape(Path(points), min(across), min(down), max(across), max(down), color, opacity)


def _find_ground(attributes: str, shapes: list[_Shape]) -> str:
    """The attribute that names the topmost shape under a text, or "" where none is."""
    x, y = _find_middle(attributes)
    for shape in reversed(shapes):
        if shape.holds(x, y):
            return f' data-ground="{shape.color} {shape.opacity:.3g}"'
    return ""


def _find_middle(attributes: str) -> tuple[float, float]:
    """A point within the first letters of a text that begins, or is centered, there."""
    center = [_read_attribute(attributes, name) for name in ("x", "y")]
    if not all(center):
        moved = re.search(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", attributes)
        center = [moved[1], moved[2]] if moved else ["-1", "-1"]
    size = float(next(iter(re.findall(r"font-size: ([\d.]+)px", attributes)), "10"))
    toward = {"end": -0.5, "start": 0.5}
    anchor = next(iter(re.findall(r"text-anchor: (\w+)", attributes)), "start")
    return float(center[0]) + toward.get(anchor, 0.0) * size, float(center[1]) - 0.35 * size


def _read_attribute(attributes: str, name: str) -> str:
    match = re.search(rf'(?:^| ){name}="([^"]*)"', attributes)
    return match[1] if match else ""
