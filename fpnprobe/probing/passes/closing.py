"""Graph edges that are read while a pass goes over them, and closed so that it goes no further."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from fpnprobe.probing.calls import JOINED, LossCall, RowCotangents
from fpnprobe.probing.graph import Edge, edges_into, source


@dataclass(frozen=True, slots=True)
class Flow:
    """The cotangents that flowed over the edges of one loss call.

    Attributes:
        cotangent: c_k: the sum of what came over its edges.
        outer: u_k = dL/do_k.
    """

    cotangent: Tensor
    outer: Tensor


def read_edges(loss: Tensor, calls: Sequence[LossCall]) -> list[Flow | None]:
    """c_k and u_k of calls with edges, from one pass that no cotangent goes through twice.

    The edges are closed while they are read: of two calls on one path, the one nearer to the loss
    has what flows along it, except for rows that were joined from those of the others: to them it
    flows on. None for calls that no path from the loss reaches.
    """
    if not calls:
        return []
    cotangents: list[Tensor | None] = [None] * len(calls)
    outers: list[Tensor | None] = [None] * len(calls)

    def read(number: int, index: int) -> Any:
        def take_and_close(inputs: Any, outputs: Any) -> Any:
            gradient = inputs[index]
            if gradient is None:
                return None
            before = cotangents[number]
            cotangents[number] = gradient if before is None else before + gradient
            outers[number] = outputs[0]
            return _replace_input(inputs, index, _flowing_on(calls[number], gradient))

        return take_and_close

    ends = [GradientEdge(*_edge_below(call)) for call in calls]
    with ExitStack() as undo:
        for number, call in enumerate(calls):
            for node, index in call.edges:
                undo.callback(node.register_hook(read(number, index)).remove)
        torch.autograd.grad(loss, ends, retain_graph=True, allow_unused=True)
    return [
        None if c is None or u is None else Flow(c, u)
        for c, u in zip(cotangents, outers, strict=True)
    ]


def _edge_below(call: LossCall) -> Edge:
    node, index = call.edges[0]
    below = node.next_functions[index]
    assert below[0] is not None
    return below[0], below[1]


def edges_of(call: LossCall) -> tuple[Edge, ...]:
    """Edges from a call's result to its rows; above the rows where those are the result."""
    if call.edges:
        return call.edges
    node, _ = source(call.loss)
    if call.rows is call.loss:
        return tuple((node, index) for index in range(len(node.next_functions)))
    rows = source(call.rows) if call.rows.grad_fn is not None else None
    if rows is None:
        return tuple((node, index) for index in range(len(node.next_functions)))
    return tuple(edges_into([node], {rows[0]}, {rows: "rows"}).get("rows", ()))


@contextmanager
def closed(edges: Sequence[Edge]) -> Iterator[None]:
    """Inside, nothing flows over these edges in a backward pass."""
    with ExitStack() as undo:
        for node, index in edges:

            def close(inputs: Any, _outputs: Any, index: int = index) -> Any:
                gradient = inputs[index]
                return (
                    None
                    if gradient is None
                    else _replace_input(inputs, index, _return_zero(gradient))
                )

            undo.callback(node.register_hook(close).remove)
        yield


@contextmanager
def closed_for(cotangents: Sequence[RowCotangents], rows: Sequence[Tensor]) -> Iterator[None]:
    """Inside, a pass that starts at these rows does not go where other calls are counted."""
    starting_rows = {id(tensor) for tensor in rows}
    with closed([e for f in cotangents if id(f.call.rows) in starting_rows for e in f.closed]):
        yield


def reaches_leaf(loss: Tensor, edges: Sequence[Edge]) -> bool:
    """Tell whether some path from the loss reaches a leaf without these edges."""
    shut = set(edges)
    todo: list[Node] = [loss.grad_fn] if loss.grad_fn is not None else []
    visited = set(todo)
    while todo:
        node = todo.pop()
        if not node.next_functions:
            return True
        for index, (child, _) in enumerate(node.next_functions):
            if child is not None and child not in visited and (node, index) not in shut:
                visited.add(child)
                todo.append(child)
    return False


def _flowing_on(call: LossCall, gradient: Tensor) -> Tensor:
    is_joined = call.labels == JOINED
    if not bool(is_joined.any()):
        return _return_zero(gradient)
    trailing = gradient.dim() - is_joined.dim()
    shape = (*is_joined.shape, *[1] * trailing) if gradient.dim() else ()
    return torch.where(is_joined.reshape(shape), gradient, torch.zeros_like(gradient))


def _return_zero(gradient: Tensor) -> Tensor:
    return torch.zeros_like(gradient)


def _replace_input(inputs: Any, index: int, gradient: Tensor) -> tuple[Any, ...]:
    return (*inputs[:index], gradient, *inputs[index + 1 :])
