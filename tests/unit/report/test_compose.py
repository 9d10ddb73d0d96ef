"""What nothing is known of is left out of a report."""

import pandas as pd

from fpnprobe.figures.svg import Panel
from fpnprobe.report.compose import _drop_empty
from fpnprobe.report.page.content import Figure, Section, Table, Text


def test_figures_without_panels_and_sections_without_content_are_left_out() -> None:
    """As of a training of two steps whose batches hold one object: no share is known."""
    empty = Figure("empty", "Nothing", "", [], pd.DataFrame())
    drawn = Figure("drawn", "Something", "", [Panel("one", lambda _: None)], pd.DataFrame())
    table = Table("table", "Numbers", "", pd.DataFrame({"a": [1]}), {"a": "a"})
    sections = [
        Section("a", "A", [Text("words"), empty]),
        Section("b", "B", [empty, drawn, table]),
        None,
    ]
    (left,) = _drop_empty(sections)
    assert (left.name, list(left.blocks)) == ("b", [drawn, table])
