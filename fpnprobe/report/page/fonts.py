"""Finds the characters that a document's fonts lack, and whether a font of the system has them.

The PDF is set in fonts that come with matplotlib and typst, so that it has the same bytes on every
machine. They know no Chinese, Japanese or Korean and no emoji; where a document holds such, fonts
of the system are asked.
"""

import functools
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
from fontTools.ttLib import TTFont, TTLibError  # of matplotlib
from matplotlib.font_manager import findSystemFonts

FOLDER = Path(mpl.get_data_path()) / "fonts" / "ttf"
_JOINING = frozenset("\u200b\u200c\u200d\u2060\ufe0e\ufe0f")  # change their neighbor, if anything


def lacking(texts: Iterable[str]) -> frozenset[str]:
    """The characters of texts that the document's own fonts lack.

    >>> sorted(lacking(["AP_S of 猫, λ = 0.1"]))
    ['猫']
    """
    characters = frozenset().union(*texts) - _JOINING
    covered = _list_characters(FOLDER / "DejaVuSans.ttf")
    return frozenset(
        character
        for character in characters
        if character.isprintable() and ord(character) not in covered
    )


def in_no_font(characters: frozenset[str]) -> frozenset[str]:
    """The characters that no font of this system has, either."""
    left = characters
    for file in sorted(findSystemFonts()):
        if not left:
            break
        covered = _list_characters(Path(file))
        left = frozenset(path for path in left if ord(path) not in covered)
    return left


def name_characters(characters: frozenset[str]) -> str:
    """The first characters, by number, for a person whose font lacks them as well.

    >>> name_characters(frozenset("猫犬"))
    'U+72AC, U+732B'
    """
    points = [f"U+{ord(character):04X}" for character in sorted(characters)]
    return ", ".join(points[:3]) + (" ..." if len(points) > 3 else "")


@functools.lru_cache(maxsize=256)
def _list_characters(file: Path) -> frozenset[int]:
    """The characters that a font file has glyphs for; none where it cannot be read."""
    try:
        with file.open("rb") as opened, TTFont(opened, fontNumber=0, lazy=True) as font:
            return frozenset(font.getBestCmap() or ())
    except (TTLibError, OSError, ValueError, KeyError, AssertionError):
        return frozenset()
