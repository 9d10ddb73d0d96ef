"""One color and dash for each variant and bucket, everywhere, safe for color-blind readers.

Buckets are ordered, so they differ in lightness as well as in hue. Variants were placed by a search
that keeps any two of them apart under normal vision and three simulated deficiencies (at least 10
in CIEDE2000, which a test computes) and 3:1 against the page. What shares a hue has another dash:
DC5-Aux, FPN-Wide1, and every intervention. Every color has a twin for dark pages; the SVG keeps the
light one as fallback (`fpnprobe.figures.markup.themed`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

from fpnprobe.scales import BACKGROUND

Dash: TypeAlias = Literal["-"] | tuple[float, tuple[float, ...]]
"""A line style of matplotlib."""

INK, MUTED, LINE, SURFACE = "#1d2530", "#5a6673", "#dfe3e7", "#ffffff"
ACCENT = "#2b5f8a"

_BUCKETS = MappingProxyType(
    {"small": "#d08a12", "medium": "#1b8f83", "large": "#413f9a", BACKGROUND: "#bcc3ca"}
)
_MORE_BUCKETS = ("#d08a12", "#8a9a2b", "#1b8f83", "#2f7bb8", "#413f9a", "#7d3c98", "#4a235a")
_VARIANTS = MappingProxyType(
    {
        "DC5": "#8e8482",
        "DC5-Aux": "#9a9087",
        "FPN": "#d60808",
        "FPN-Aux": "#e17216",
        "FPN-AuxU": "#64342d",
        "FPN-CFG1": "#5491ed",
        "FPN-CFG2": "#1c5151",
        "FPN-CFG3": "#442775",
        "FPN-Wide": "#aa6fad",
        "FPN-Wide1": "#bf7dac",
    }
)
_MORE_VARIANTS = ("#63703b", "#46735e", "#b44181")
_INTERVENTIONS = MappingProxyType(
    {
        "cut-direct": "#442775",
        "cut-deeper": "#1c5151",
        "no-small-direct": "#e17216",
        "no-large-direct": "#5491ed",
        "balanced": "#aa6fad",
    }
)
SOLID: Dash = "-"
_DASHED: Dash = (0, (5, 2))
_OF_INTERVENTIONS: Mapping[str, Dash] = MappingProxyType(
    {
        "cut-direct": (0, (6, 2)),
        "cut-deeper": (0, (6, 2, 1.5, 2)),
        "no-small-direct": (0, (2, 1.5)),
        "no-large-direct": (0, (3, 1.5, 1, 1.5)),
        "balanced": (0, (8, 2, 1, 2, 1, 2)),
    }
)

DARK: Mapping[str, str] = MappingProxyType(
    {
        INK: "#e6eaef",
        MUTED: "#9aa7b4",
        LINE: "#313a45",
        SURFACE: "#181d24",
        ACCENT: "#7db4e6",
        "#d08a12": "#f0b64a",
        "#1b8f83": "#3fb8aa",
        "#413f9a": "#8d8bea",
        "#bcc3ca": "#56606b",
        "#c8453b": "#dc4f45",
        "#8e8482": "#89887e",
        "#9a9087": "#767268",
        "#d60808": "#f52342",
        "#e17216": "#9f5505",
        "#64342d": "#f9c2c3",
        "#5491ed": "#108cae",
        "#1c5151": "#81c0ca",
        "#442775": "#cba4fe",
        "#aa6fad": "#cd5ef8",
        "#bf7dac": "#87627e",
        "#63703b": "#b5ab0e",
        "#46735e": "#a7ce78",
        "#b44181": "#e835a7",
        "#8a9a2b": "#b3c24f",
        "#2f7bb8": "#5fa5de",
        "#7d3c98": "#b07fc7",
        "#4a235a": "#94719f",
    }
)
"""Light color to its twin on dark pages."""


def bucket_color(name: str, buckets: Sequence[str] = ()) -> str:
    """Color of a bucket: fixed for COCO's and for background, by position for custom ones.

    >>> bucket_color("small"), bucket_color("tiny", ["tiny", "small", "big"])
    ('#d08a12', '#8a9a2b')
    """
    if name in _BUCKETS:
        return _BUCKETS[name]
    index = list(buckets).index(name) if name in buckets else 0
    return _MORE_BUCKETS[(index + 1) % len(_MORE_BUCKETS)]


def variant_color(name: str) -> str:
    """Color of a variant: fixed for the published ones, from the name alone for all others.

    >>> variant_color("FPN~cut-direct") == variant_color("FPN")
    False
    """
    base, change = _name_parts(name)
    if change in _INTERVENTIONS:
        return _INTERVENTIONS[change]
    if not change and base in _VARIANTS:
        return _VARIANTS[base]
    digest = hashlib.sha256((change or base).encode()).digest()
    return _MORE_VARIANTS[digest[0] % len(_MORE_VARIANTS)]


def variant_dash(name: str) -> Dash:
    """Line style of a variant: solid, but for those that share a hue, and interventions.

    >>> variant_dash("FPN"), variant_dash("DC5-Aux")
    ('-', (0, (5, 2)))
    """
    base, change = _name_parts(name)
    if change:
        styles = list(_OF_INTERVENTIONS.values())
        digest = hashlib.sha256(change.encode()).digest()
        return _OF_INTERVENTIONS.get(change, styles[digest[1] % len(styles)])
    return _DASHED if base in ("DC5-Aux", "FPN-Wide1") else SOLID


def _name_parts(name: str) -> tuple[str, str]:
    """Variant and intervention of a name in a report, without its study."""
    base, _, change = name.split(": ")[-1].partition("~")
    return base, change


def variant_colors(names: Sequence[str]) -> dict[str, str]:
    """Colors of the variants of one report: as `variant_color`, apart for users' own variants.

    Where an own variant or an intervention would repeat a color of the same dash, it gets the next
    color that is free in this report, in sorted order; beyond thirteen names colors repeat.

    >>> colors = variant_colors(["FPN", "mine", "yours", "theirs", "a fourth"])
    >>> colors["FPN"] == variant_color("FPN"), len(set(colors.values()))
    (True, 5)
    """
    fixed = {name: variant_color(name) for name in names if _name_parts(name)[0] in _VARIANTS}
    fixed = {name: color for name, color in fixed.items() if "~" not in name}
    colors = dict(fixed)
    taken_styles = {(color, variant_dash(name)) for name, color in fixed.items()}
    color_of_base: dict[str, str] = {}  # the same variant of two studies keeps its color
    for name in sorted(set(names) - set(fixed)):
        base, color = name.split(": ")[-1], variant_color(name)
        start = _MORE_VARIANTS.index(color) if color in _MORE_VARIANTS else 0
        ring = (color, *_MORE_VARIANTS[start:], *_MORE_VARIANTS[:start], *_VARIANTS.values())
        free = [
            candidate for candidate in ring if (candidate, variant_dash(name)) not in taken_styles
        ]
        if base not in color_of_base:
            color_of_base[base] = next(iter(free), color)
            taken_styles.add((color_of_base[base], variant_dash(name)))
        colors[name] = color_of_base[base]
    return {name: colors[name] for name in names}
