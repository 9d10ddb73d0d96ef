"""Names and numbers as they are set in labels, captions and tables."""

import math
import re

MISSING = "–"


def short(name: str, width: int = 22) -> str:
    """The name, cut in the middle where it is longer than a label has room for.

    >>> short("a" * 40, 9)
    'aaaa…aaaa'
    """
    if len(name) <= width:
        return name
    half = (width - 1) // 2
    return f"{name[: width - 1 - half]}…{name[-half:]}"


def variant_label(name: str, width: int = 17) -> str:
    """A variant as a label beside an axis: an intervention by what it changes.

    >>> variant_label("FPN~no-small-direct"), variant_label("FPN-AuxU")
    ('~no-small-direct', 'FPN-AuxU')
    """
    change = name.partition("~")[2]
    return short(f"~{change}" if change else name, width)


def signed(value: float, digits: int = 1) -> str:
    """A difference with its sign, as set in text.

    >>> signed(-0.25), signed(-0.01)
    ('−0.2', '+0.0')
    """
    nothing = round(value, digits) == 0
    return f"{0.0 if nothing else value:+.{digits}f}".replace("-", "−")


def with_minus(text: str) -> str:
    """The text with minus signs before negative numbers; hyphens stay.

    >>> with_minus("all-object index: -0.3 (-1.1 to 0.2), FPN-CFG1")
    'all-object index: −0.3 (−1.1 to 0.2), FPN-CFG1'
    """
    return re.sub(r"(?<!\w)-(?=\d)", "−", text)


def percent(part: float) -> str:
    """A part in [0, 1] as percent without digits; what rounds to 0 and is more, as such.

    >>> percent(0.252), percent(0.002), percent(0.0)
    ('25 %', 'under 0.5 %', '0 %')
    """
    return "under 0.5 %" if 0 < part < 0.005 else f"{100 * part:.0f} %"


def bind(text: str) -> str:
    r"""Keep a number and its unit on one line.

    >>> bind("below 24 px, 5 % of it").split(" ")
    ['below', '24\xa0px,', '5\xa0%', 'of', 'it']
    """
    return re.sub(r"(?<=\d) (?=(?:%|px|points?\b|MiB|GiB))", "\u00a0", text)


def scientific(value: float) -> str:
    """A small number as set in text, one digit.

    >>> scientific(6.8e-7)
    '7 × 10⁻⁷'
    """
    if not value:
        return "0"
    if not math.isfinite(value):
        return MISSING
    digit, power = f"{value:.0e}".split("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digit} × 10{raised}"
