"""The contrast of letters with their ground (WCAG 2), and inks and tints that hold 4.5:1."""

BLACK, WHITE = "#010101", "#fefefe"
"""Inks of cells whose color no theme changes; pure white is a surface, which themes change."""


def tint(part: float) -> float:
    """Opacity of a cell's color for a part in [0, 1]: the deepest on which ink still reads well.

    >>> tint(0.0), tint(1.0)
    (0.05, 0.47)
    """
    return round(0.05 + 0.42 * part, 4)


def ink_on(color: str) -> str:
    """Black or white, whichever is easier to read on a color of seven characters.

    >>> ink_on("#75b690"), ink_on("#1e5d86")
    ('#010101', '#fefefe')
    """
    return max((BLACK, WHITE), key=lambda ink: contrast(ink, color))


def contrast(first: str, second: str) -> float:
    """Compute WCAG's contrast ratio of two colors, from 1 to 21.

    >>> round(contrast("#ffffff", "#000000"), 1)
    21.0
    """
    low, high = sorted((_compute_luminance(first), _compute_luminance(second)))
    return (high + 0.05) / (low + 0.05)


def mix(color: str, ground: str, opacity: float) -> str:
    """Return what a translucent color looks like on a ground.

    >>> mix("#000000", "#ffffff", 0.5)
    '#808080'
    """
    pairs = zip(_read_channels(color), _read_channels(ground), strict=True)
    return "#" + "".join(f"{round(opacity * a + (1 - opacity) * b):02x}" for a, b in pairs)


def _compute_luminance(color: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _read_channels(color))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _read_channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
