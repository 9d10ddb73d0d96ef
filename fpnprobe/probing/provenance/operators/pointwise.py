"""Operators that work element by element."""

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from fpnprobe.probing.provenance.marks import (
    BACKGROUND,
    NONE,
    TAKEN,
    is_lost,
    is_object,
    join_targets,
)
from fpnprobe.probing.provenance.operation import Operation, is_parameter
from fpnprobe.probing.provenance.rules import rule

_COMPARISONS = ("lt", "le", "gt", "ge", "less", "less_equal", "greater", "greater_equal")
_EXTREMES = {"maximum": torch.ge, "minimum": torch.le, "fmax": torch.ge, "fmin": torch.le}


@rule("pointwise", "rsub", "xlogy", "dropout", "native_dropout", "nan_to_num", "clamp", "lerp")
@rule("log_sigmoid_forward")
def elementwise(operation: Operation) -> None:
    """The object of the only operand that has one; two different ones are lost."""
    out = operation.outputs()[0]
    operands = operation.tensors()
    known = [t for t in operands if operation.memory.knows(t)]
    if operation.in_graph:
        operation.give(out, join_in_graph(operation, operands, out))
        return
    marks = [operation.marks(t) for t in known]
    if operation.name in _EXTREMES and len(marks) == 2:
        joined = _extreme(operation, known, marks)
    else:
        joined = reduce(lambda a, b: join_targets(a, b, operation.lost()), marks)
    if operation.name == "mul" and len(operands) == 2:
        joined = _product(operation, operands, joined)
    if out.dtype == torch.bool:  # what is false says nothing of an object
        if operation.name in _COMPARISONS:
            operation.compared.write(out, joined.expand(out.shape))
        joined = torch.where(out | (joined == BACKGROUND), joined, NONE)
    operation.give(out, joined)


def _extreme(operation: Operation, known: list[Tensor], marks: list[Tensor]) -> Tensor:
    """Two different objects: the element is that of the larger (or smaller) one."""
    lost = operation.lost()
    joined = join_targets(marks[0], marks[1], lost)
    first = _EXTREMES[operation.name](known[0], known[1])
    winner = torch.where(first, marks[0].expand(joined.shape), marks[1].expand(joined.shape))
    return torch.where(is_object(marks[0]) & is_object(marks[1]), winner, joined)


def _product(operation: Operation, operands: list[Tensor], joined: Tensor) -> Tensor:
    """A product that one factor makes zero is of that factor's object, or of none."""
    first, second = operands
    for zero, other in ((first, second), (second, first)):
        marks = operation.marks(zero)
        decides = (zero == 0) & ((other != 0) | (marks == NONE))
        joined = torch.where(decides, marks, joined)
    return joined


def join_in_graph(operation: Operation, operands: list[Tensor], out: Tensor) -> Tensor:
    """Labels of a result through which gradients flow.

    A prediction without a label takes the object of the target that it meets, or background where
    the target has none there. A loss whose rows are taken stays so, and labeled rows that join it
    are taken here.
    """
    if any(is_parameter(t) for t in operands):
        return torch.full((), NONE, dtype=torch.int32, device=out.device)
    graph = [t for t in operands if t.requires_grad]
    targets = [t for t in operands if not t.requires_grad and operation.memory.knows(t)]
    rank = max(t.dim() for t in graph)
    # A 0-dim number beside rows is a normalizer, whoever it was counted from.
    targets = [t for t in targets if t.dim() or not rank]
    labels = reduce(_join_labels(operation), [operation.marks(t) for t in graph])
    if bool(is_lost(labels).any()) and len(graph) > 1:
        # As in the overlap of all pairs of boxes. Where its diagonal alone carries loss, rows that
        # are nearer to the loss have it, and these are none.
        for tensor in graph:
            if operation.is_labeled(tensor):
                operation.cut(tensor)
    if bool((labels == TAKEN).any()):
        for tensor in graph:
            if operation.is_labeled(tensor) and not bool((operation.marks(tensor) == TAKEN).all()):
                operation.cut(tensor)
        return labels
    if not targets:
        return labels
    lost = operation.lost()
    met = reduce(lambda a, b: join_targets(a, b, lost), [operation.marks(t) for t in targets])
    if bool((met == NONE).all()):
        return labels
    labels, met = torch.broadcast_tensors(labels, met)
    found = torch.where(is_object(labels) & is_object(met) & (labels != met), lost, labels)
    found = torch.where((labels == BACKGROUND) & is_object(met), met, found)
    found = torch.where(is_lost(labels) & is_object(met), met, found)
    return torch.where(labels == NONE, torch.where(met == NONE, BACKGROUND, met), found)


def _join_labels(operation: Operation) -> Callable[[Tensor, Tensor], Tensor]:
    lost = operation.reasons.code(
        f"{operation.name} joins predictions of several objects", of_predictions=True
    )

    def join(first: Tensor, second: Tensor) -> Tensor:
        first, second = torch.broadcast_tensors(first, second)
        joined = torch.where(
            (first >= 0) & (second >= 0) & (first != second), lost, torch.maximum(first, second)
        )
        joined = torch.where((first == BACKGROUND) & (second == NONE), BACKGROUND, joined)
        joined = torch.where((second == BACKGROUND) & (first == NONE), BACKGROUND, joined)
        joined = torch.where((first == TAKEN) | (second == TAKEN), TAKEN, joined)
        return torch.where(
            (is_lost(first) & (second < 0)) | (is_lost(second) & (first < 0)),
            torch.minimum(first, second),
            joined,
        )

    return join


@rule("where")
def select(operation: Operation) -> None:
    """The mark of what was chosen; a constant chosen by a mask takes that of the mask."""
    if len(operation.args) < 3:
        return
    condition, first, second = operation.args[:3]
    out = operation.outputs()[0]
    chosen = torch.where(condition, operation.marks(first), operation.marks(second))
    mask = operation.marks(condition).expand(out.shape)
    chosen = chosen.expand(out.shape)
    by_mask = (chosen == NONE) & condition.expand(out.shape) & is_object(mask)
    operation.give(out, torch.where(by_mask, mask, chosen))
