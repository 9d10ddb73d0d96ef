"""Walks over the autograd graph."""

from collections.abc import Collection, Iterable, Mapping

from torch import Tensor
from torch.autograd.graph import Node

Edge = tuple[Node, int]  # a node, and the number of one of its inputs or outputs


def source(tensor: Tensor) -> Edge:
    """The node that made a tensor, and the number of the tensor among its outputs."""
    assert tensor.grad_fn is not None
    return tensor.grad_fn, tensor.output_nr


def edges_into(
    roots: Iterable[Node | None],
    stops: Collection[Node],
    targets: Mapping[Edge, str],
) -> dict[str, set[Edge]]:
    """Edges into each target found from `roots` without passing a node in `stops`."""
    edges_by_name: dict[str, set[Edge]] = {}
    todo = [root for root in roots if root is not None]
    visited = set(todo)
    while todo:
        node = todo.pop()
        for index, (child, output) in enumerate(node.next_functions):
            if child is None:
                continue
            name = targets.get((child, output))
            if name is not None:
                edges_by_name.setdefault(name, set()).add((node, index))
            if child not in stops and child not in visited:
                visited.add(child)
                todo.append(child)
    return edges_by_name


def find_shallowest(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors whose graph holds none of the others."""
    nodes = {source(tensor): name for name, tensor in tensors.items() if tensor.grad_fn is not None}
    return [
        name
        for name, tensor in tensors.items()
        if not edges_into([tensor.grad_fn], (), nodes).keys() - {name}
    ]
