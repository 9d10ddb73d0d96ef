"""A report as data: ordered sections of text, tables and figures; nothing about their looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fpnprobe.figures.legend import Key
from fpnprobe.figures.svg import Panel
from fpnprobe.figures.wording import MISSING


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `tone` is `plain`, `note` or `hole` (something that was not measured)."""

    body: str
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of finished strings, and the frame behind it for CSV.

    Args:
        name: File name of the CSV and anchor, lowercase.
        title: What it holds.
        caption: What to conclude.
        frame: The numbers as stored.
        headers: Column of `frame` to heading, in display order.
        formats: Column to a format such as `{:.1f}`; missing values show as a dash.
        folded: Closed on the page until a reader opens it, and left out of the PDF.
        rest: What the rows from `shown` on are; they are closed on the page until a reader opens
            them, and left out of the PDF.
        shown: Rows that stand open where `rest` is told.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    headers: Mapping[str, str]
    formats: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False
    rest: str = ""
    shown: int = 0

    def rows(self) -> list[list[str]]:
        """Cells as text, row by row."""
        return [
            [self._cell(name, record[name]) for name in self.headers]
            for record in self.frame.to_dict("records")
        ]

    @property
    def is_wide(self) -> bool:
        """Whether its rows need small letters: many columns, or long cells."""
        cells = [len(cell) for row in self.rows()[:8] for cell in row]
        return len(self.headers) > 8 or sum(cells) > 60 * min(8, max(1, len(self.rows())))

    def numeric(self) -> list[bool]:
        """Tell which columns are numbers, to be set flush right."""
        return [
            name in self.formats or pd.api.types.is_numeric_dtype(self.frame[name])
            for name in self.headers
        ]

    def _cell(self, name: str, value: Any) -> str:
        if value is None or (isinstance(value, float) and value != value) or value is pd.NA:
            return MISSING
        if name in self.formats and not isinstance(value, str):
            text = self.formats[name].format(value)
            nothing = text[:1] in "+-" and not text.strip("+-0.")
            return text[1:] if nothing else text.replace("-", "−")
        if isinstance(value, bool):
            return "yes" if value else "no"
        return str(value)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as panels to draw, the table behind it, and what to conclude from it.

    `columns` and `narrow` are the panels in a row on a wide page and on a phone.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]
    table: pd.DataFrame
    keys: Sequence[Key] = ()
    columns: int = 2
    narrow: int = 1
    height: int = 220
    left: int = 60
    right: int = 10
    gap: int = 28
    bottom: int = 34
    share: str = "y"


Block = Text | Table | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its blocks."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Number:
    """One of the four numbers that matter: value, what it is, how sure."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report: the summary on top, then sections.

    `first` are the figure and the table that stand on the first screen; `origin` says when and on
    what it was measured.
    """

    title: str
    question: str
    expected: str
    answer: str
    numbers: Sequence[Number]
    warnings: Sequence[str]
    claims: Sequence[Mapping[str, Any]]
    sections: Sequence[Section]
    first: Sequence[Block] = ()
    origin: str = ""

    def blocks(self) -> list[Block]:
        """All blocks in order."""
        return [*self.first, *(block for section in self.sections for block in section.blocks)]

    def figures(self) -> list[Figure]:
        """All figures in order."""
        return [block for block in self.blocks() if isinstance(block, Figure)]

    def tables(self) -> list[Table]:
        """All tables in order."""
        return [block for block in self.blocks() if isinstance(block, Table)]
