"""One color for each variant and bucket, everywhere, safe for color-blind readers.

Buckets are ordered, so they differ in lightness as well as in hue. Variants come in families: grays
for DC5, reds for the pyramid and its auxiliary losses, blues for feature grouping. Every color has
a twin for dark pages; the SVG keeps the light one as fallback (`fpnprobe.figures.svg.themed`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from fpnprobe.scales import BACKGROUND

INK, MUTED, LINE, SURFACE = "#1d2530", "#5a6673", "#dfe3e7", "#ffffff"
ACCENT = "#2b5f8a"

_BUCKETS = MappingProxyType(
    {"small": "#d08a12", "medium": "#1b8f83", "large": "#413f9a", BACKGROUND: "#bcc3ca"}
)
_MORE_BUCKETS = ("#d08a12", "#8a9a2b", "#1b8f83", "#2f7bb8", "#413f9a", "#7d3c98", "#4a235a")
_VARIANTS = MappingProxyType(
    {
        "DC5": "#6b737d",
        "DC5-Aux": "#aab1b9",
        "FPN": "#c8453b",
        "FPN-Aux": "#ec9a80",
        "FPN-AuxU": "#7d2323",
        "FPN-CFG1": "#8fc1ea",
        "FPN-CFG2": "#4a94d3",
        "FPN-CFG3": "#1a5c9e",
        "FPN-Wide": "#8f3f97",
        "FPN-Wide1": "#c48fd0",
    }
)
_MORE_VARIANTS = ("#8a6d3b", "#5d7a2e", "#b5588c", "#2d6e6e", "#94722f", "#5b5ea6")

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
        "#6b737d": "#8b949e",
        "#aab1b9": "#b4bbc3",
        "#c8453b": "#dc4f45",
        "#ec9a80": "#e8a58f",
        "#7d2323": "#a83f3f",
        "#8fc1ea": "#9cc9ee",
        "#4a94d3": "#5597d3",
        "#1a5c9e": "#2f6db3",
        "#8f3f97": "#bb74c2",
        "#c48fd0": "#d3a9dc",
        "#8a9a2b": "#b3c24f",
        "#2f7bb8": "#5fa5de",
        "#7d3c98": "#b07fc7",
        "#4a235a": "#94719f",
        "#8a6d3b": "#b89a66",
        "#5d7a2e": "#8fae5d",
        "#b5588c": "#d58ab3",
        "#2d6e6e": "#5fa3a3",
        "#94722f": "#c29f5c",
        "#5b5ea6": "#9093d4",
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
    place = list(buckets).index(name) if name in buckets else 0
    return _MORE_BUCKETS[(place + 1) % len(_MORE_BUCKETS)]


def variant_color(name: str) -> str:
    """Color of a variant: fixed for the published ones, from the name alone for all others.

    An intervention `FPN~cut-direct` has the color of its base; its bars are hatched.

    >>> variant_color("FPN~cut-direct") == variant_color("FPN")
    True
    """
    base = name.split("~")[0].split(": ")[-1]
    if base in _VARIANTS:
        return _VARIANTS[base]
    digest = hashlib.sha256(base.encode()).digest()
    return _MORE_VARIANTS[digest[0] % len(_MORE_VARIANTS)]


def variant_colors(names: Sequence[str]) -> dict[str, str]:
    """Colors of the variants of one report: as `variant_color`, apart for users' own variants.

    Two own variants whose names give the same color get the next free one, in sorted order.

    >>> colors = variant_colors(["FPN", "mine", "yours", "theirs"])
    >>> colors["FPN"] == variant_color("FPN"), len(set(colors.values()))
    (True, 4)
    """
    colors: dict[str, str] = {}
    bases = sorted({name.split("~")[0] for name in names})
    taken: set[str] = set()
    for base in bases:
        color = variant_color(base)
        if color in _MORE_VARIANTS:
            start = _MORE_VARIANTS.index(color)
            ring = (*_MORE_VARIANTS[start:], *_MORE_VARIANTS[:start])
            color = next((c for c in ring if c not in taken), color)
            taken.add(color)
        colors[base] = color
    return {name: colors[name.split("~")[0]] for name in names}
