"""Makes matplotlib's SVG fit for a page: small, themed, no clash of ids, values inside."""

import re

from fpnprobe.figures.lettering import letter
from fpnprobe.figures.palette import DARK, SURFACE

MARK = "mark:"
SERIES = "series:"
LEGEND = "legend:"
BETWEEN = "\N{SYMBOL FOR UNIT SEPARATOR}"
"""Between the text of a mark and the series that it belongs to."""


def finish(raw: str, slug: str) -> str:
    """Clean the SVG of one figure; `slug` begins every id that is left, marks become titles."""
    svg = raw[raw.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' style="[^"]*"', _own_font, svg)
    svg = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", svg)
    svg = re.sub(r' (d|x|y|transform|points)="([^"]*)"', _round_number, svg)
    svg = re.sub(rf"<g id=([\"']){MARK}(.*?)\1>", _write_title, svg)  # ' where the text holds a "
    svg = re.sub(rf"<g id=([\"']){SERIES}(.*?)\1>", _write_series, svg)
    svg = re.sub(rf"<g id=([\"']){LEGEND}(.*?)\1>", _write_legend, svg)
    svg = re.sub(r'<path d="M [\d.]+ [\d.]+" [^>]*/>', "", svg)  # the line of a single dot
    svg = re.sub(r'\s*<g id="[^"]*"/>', "", svg)
    svg = letter(re.sub(r'<g id="[^"]*">', "<g>", svg))
    svg = re.sub(r'(<image[^>]*?) id="[^"]*"', r"\1", svg)  # equal maps would have equal ids
    svg = re.sub(r'<(path|clipPath|pattern)([^>]*) id="', rf'<\1\2 id="{slug}-', svg)
    svg = svg.replace("url(#", f"url(#{slug}-").replace('href="#', f'href="#{slug}-')
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    lines = 'stroke-linejoin="round" stroke-linecap="butt"'
    svg = svg.replace("<svg ", f"<svg {lines} font-family=\"'DejaVu Sans', sans-serif\" ", 1)
    return re.sub(r">\s+<", ">\n<", svg)


def grounded(svg: str) -> str:
    """The SVG on white ground, for files: a reader's page may be dark."""
    return re.sub(
        r"(<svg [^>]*>)", r'\1<rect width="100%" height="100%" fill="#ffffff"/>', svg, count=1
    )


def _own_font(style: re.Match[str]) -> str:
    return re.sub(r"\s*font-family: [^;\"]*;?", "", style[0])


def _write_title(group: re.Match[str]) -> str:
    text, _, series = group[2].partition(BETWEEN)
    belongs = f" {_series_attribute(series)}" if series else ""
    return f'<g class="mark"{belongs}><title>{text}</title>'


def _write_series(group: re.Match[str]) -> str:
    return f"<g {_series_attribute(group[2])}>"


def _write_legend(group: re.Match[str]) -> str:
    return f'<g class="key" {_series_attribute(group[2])}>'


def _series_attribute(series: str) -> str:
    """The series as an attribute; what stands in it is escaped already, but for a quote."""
    return 'data-series="{}"'.format(series.replace('"', "&quot;"))


def _round_number(match: re.Match[str]) -> str:
    value = re.sub(r"(\d+\.\d\d)\d+", r"\1", match[2])
    return f' {match[1]}="{" ".join(value.split())}"'


def themed(svg: str) -> str:
    """Let a page's style sheet choose the colors: `#1d2530` becomes `var(--c1d2530, #1d2530)`.

    Text says its color and its ground as any text of a page does, so that its contrast can be told.
    """
    svg = svg.replace(" font-family=\"'DejaVu Sans', sans-serif\"", "", 1)
    svg = re.sub(r'<text style="([^"]*)" ([^>]*)>(.*?)</text>', _write_text, svg, flags=re.DOTALL)
    return re.sub(r"\b(fill|stroke|color): (#[0-9a-f]{6})", _write_variable, svg)


def _write_variable(match: re.Match[str]) -> str:
    return f"{match[1]}: {_in_theme(match[2])}"


def _write_text(match: re.Match[str]) -> str:
    style = re.sub(r"fill: (#[0-9a-f]{6})", r"color: \1; fill: currentColor", match[1])
    ground = re.search(r' data-ground="(#[0-9a-f]{6}) ([\d.]+)"', match[2])
    if ground is None:
        return f'<text style="{style}" {match[2]}>{match[3]}</text>'
    color, under = (_in_theme(color_name) for color_name in (ground[1], SURFACE))
    if float(ground[2]) < 1:
        color = f"color-mix(in srgb, {color} {100 * float(ground[2]):g}%, {under})"
    placed = match[2].replace(ground[0], "")
    # A background on a text is held against boxes that differ by rounding; on a tspan it is not.
    inner = f'<tspan style="background-color: {color}">{match[3]}</tspan>'
    return f'<text style="{style}" {placed}>{inner}</text>'


def _in_theme(color: str) -> str:
    return f"var(--c{color[1:]}, {color})" if color in DARK else color
