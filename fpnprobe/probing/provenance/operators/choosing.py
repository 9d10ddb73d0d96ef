"""Operators that choose: the best match of an anchor brings its object into the assignment."""

import torch
from torch import Tensor

from fpnprobe.probing.provenance.marks import NONE, join_reduced
from fpnprobe.probing.provenance.operation import Operation, normalized_dims
from fpnprobe.probing.provenance.rules import rule


@rule("topk", "sort", "cummax", "cummin")
def choose_several(operation: Operation) -> None:
    """Values and their positions along a dimension."""
    position = 2 if operation.name == "topk" else 1
    dim = operation.argument(position, "dim", -1)
    if operation.name == "sort" and operation.overload == "stable":
        dim = operation.kwargs.get("dim", -1)
    values, numbers = operation.outputs()
    _give_chosen(operation, dim, numbers, (values, numbers))


@rule("argsort")
def choose_order(operation: Operation) -> None:
    """Positions alone."""
    dim = operation.argument(1, "dim", -1)
    _give_chosen(operation, dim, operation.out, (operation.out,))


@rule("max", "min", "median", "nanmedian", "mode", "kthvalue")
def choose_one(operation: Operation) -> None:
    """The best value along a dimension and its position; of all elements, no position is told."""
    found = operation.outputs()
    if len(found) != 2:
        _give_best_of_all(operation)
        return
    position = 2 if operation.name == "kthvalue" else 1
    dim = operation.argument(position, "dim", -1)
    keep = operation.argument(position + 1, "keepdim", False)
    is_short = not keep and found[1].dim() == _rank(operation) - 1
    numbers = found[1].unsqueeze(dim) if is_short else found[1]
    _give_chosen(operation, dim, numbers, tuple(found))


@rule("argmax", "argmin")
def choose_position(operation: Operation) -> None:
    """The position of the best value."""
    dim, keep = operation.argument(1, "dim"), operation.argument(2, "keepdim", False)
    if dim is None:
        return
    numbers = operation.out if keep else operation.out.unsqueeze(dim)
    _give_chosen(operation, dim, numbers, (operation.out,))


@rule("amax", "amin", "aminmax")
def choose_value(operation: Operation) -> None:
    """The best value alone, of its own element where one dimension is searched."""
    source = operation.args[0]
    dims = normalized_dims(operation.argument(1, "dim"), source.dim())
    if operation.name == "aminmax" or len(dims) != 1 or source.dim() == 1:
        if operation.outputs()[0].dim():
            marks = join_reduced(operation.marks(source), dims, operation.lost())
            for found in operation.outputs():
                operation.give(found, marks.reshape(found.shape))
        return
    search = torch.argmax if operation.name == "amax" else torch.argmin
    numbers = search(source.detach(), dims[0], keepdim=True)
    operation.give(
        operation.out, operation.marks(source).gather(dims[0], numbers).reshape(operation.out.shape)
    )


@rule("nonzero")
def name_positions(operation: Operation) -> None:
    """Positions take the marks of the elements that they name."""
    source = operation.args[0]
    marks = operation.marks(source)
    chosen = marks[source != 0] if source.dim() else marks.reshape(-1)[: len(operation.out)]
    operation.give(operation.out, chosen.unsqueeze(-1))


def _rank(operation: Operation) -> int:
    return int(operation.args[0].dim())


def _give_chosen(
    operation: Operation, dim: int, numbers: Tensor, found: tuple[Tensor, ...]
) -> None:
    marks = operation.marks(operation.args[0])
    chosen = marks.gather(dim, numbers) if marks.dim() else marks
    for one in found:
        operation.give(one, chosen.reshape(one.shape))


def _give_best_of_all(operation: Operation) -> None:
    """max(a, b) is element by element; max(a) is a statistic, which has no object."""
    marks = join_reduced(
        operation.marks(operation.args[0]),
        tuple(range(_rank(operation))),
        NONE,
    )
    if bool((operation.marks(operation.args[0]) == marks).all()):
        operation.give(operation.out, marks.reshape(operation.out.shape))


@rule("_unique2", "_unique", "unique_consecutive", "unique_dim")
def keep_distinct(operation: Operation) -> None:
    """Each distinct value is of the object of the elements that have it, if that is one."""
    source = operation.args[0]
    if operation.name == "unique_dim":
        return
    values = operation.outputs()[0]
    if not values.numel():
        return
    order = torch.unique_consecutive if operation.name == "unique_consecutive" else torch.unique
    _, place = order(source, return_inverse=True)
    marks = operation.marks(source).reshape(-1)
    high = torch.full((len(values),), NONE, dtype=torch.int32, device=values.device)
    high = high.scatter_reduce(0, place.reshape(-1), marks, "amax", include_self=False)
    far = torch.full_like(high, torch.iinfo(torch.int32).max)
    known = torch.where(marks >= 0, marks, far[0])
    low = far.scatter_reduce(0, place.reshape(-1), known, "amin")
    operation.give(values, torch.where((high >= 0) & (low != high), operation.lost(), high))
