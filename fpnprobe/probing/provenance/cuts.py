"""Rows of a loss that provenance has labeled."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from fpnprobe.probing.graph import Edge, edges_into
from fpnprobe.probing.provenance.operation import Cut

Scope: TypeAlias = tuple[str, str]  # name of the loss, loss term


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


class CutRecord:
    """The cuts of a forward pass, and those whose operator has not returned to the graph yet.

    Attributes:
        cuts: Cuts with their edges.
    """

    def __init__(self) -> None:
        self.cuts: list[RowCut] = []
        self._pending: list[tuple[Cut, Edge | None, Scope]] = []

    @property
    def count(self) -> int:
        """Number of cuts, settled or not."""
        return len(self.cuts) + len(self._pending)

    def add(self, cut: Cut, edge: Edge | None, scope: Scope) -> None:
        """Note a cut with the edge that its rows' gradient arrives over; None for a leaf."""
        self._pending.append((cut, edge, scope))

    def settle(self) -> None:
        """Find the graph edges of cuts whose operator has returned."""
        for cut, edge, (name, term) in self._pending:
            node = cut.result.grad_fn
            if node is None:
                continue
            if edge is None:  # a leaf: its node is known by the variable that it keeps
                found = {
                    (node, i) for i, (n, _) in enumerate(node.next_functions) if _keeps(n, cut)
                }
            else:
                found = edges_into([node], {edge[0]}, {edge: "rows"}).get("rows", set())
            if found:
                self.cuts.append(RowCut(name or cut.operator, term, cut, tuple(found)))
        self._pending.clear()


def edge_of(tensor: Tensor) -> Edge | None:
    """The graph edge that a tensor's gradient arrives over, now; None for a leaf."""
    return None if tensor.grad_fn is None else (tensor.grad_fn, tensor.output_nr)


def _keeps(node: Any, cut: Cut) -> bool:
    return getattr(node, "variable", None) is cut.rows
