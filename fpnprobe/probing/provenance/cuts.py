"""Rows of a loss that provenance has labeled."""

from dataclasses import dataclass

from fpnprobe.probing.graph import Edge
from fpnprobe.probing.provenance.operation import Cut


@dataclass(frozen=True, slots=True, eq=False)
class RowCut:
    """A cut with its place.

    Attributes:
        name: Loss module or function, for messages.
        term: Loss term.
        cut: Rows, their marks, and what they were joined to.
        edges: Graph edges that lead from the result to the rows.
    """

    name: str
    term: str
    cut: Cut
    edges: tuple[Edge, ...]
