"""Operators that move elements: the marks move in the same way."""

import torch
from torch import Tensor

from fpnprobe.probing.provenance.marks import NONE, is_object
from fpnprobe.probing.provenance.operation import Operation, any_object, is_parameter
from fpnprobe.probing.provenance.rules import rule


@rule("clone", "_to_copy", "contiguous", "lift_fresh", "lift_fresh_copy", "_reshape_copy")
@rule("view_copy", "detach_copy", "_reshape_alias_copy", "alias_copy")
def copy(operation: Operation) -> None:
    """The result has the elements of the first argument in their order."""
    operation.give(operation.out, operation.marks(operation.args[0]).reshape(operation.out.shape))


@rule("cat", "stack")
def concatenate(operation: Operation) -> None:
    """Several tensors one after the other."""
    parts = [operation.marks(part) for part in operation.argument(0, "tensors")]
    dim = operation.argument(1, "dim", 0)
    if operation.name == "stack":
        operation.give(operation.out, torch.stack(parts, dim))
        return
    rank = operation.out.dim()
    operation.give(operation.out, torch.cat([p for p in parts if p.dim() == rank], dim))


@rule("repeat", "flip", "roll", "tril", "triu", "masked_select", "take", "tile", "diagonal_copy")
@rule("unfold", "unfold_copy", "repeat_interleave", "pixel_shuffle", "constant_pad_nd", "rot90")
def move(operation: Operation) -> None:
    """The same movement on the marks."""
    marks = operation.marks(operation.args[0])
    if operation.name == "constant_pad_nd":
        pads = operation.argument(1, "pad")
        operation.give(operation.out, torch.ops.aten.constant_pad_nd(marks, pads, NONE))
        return
    if operation.name == "repeat_interleave" and operation.overload == "Tensor":
        return  # gives positions, not elements
    found = operation.function(marks.contiguous(), *operation.args[1:], **operation.kwargs)
    if operation.name in ("tril", "triu"):
        kept = operation.function(torch.ones_like(marks), *operation.args[1:], **operation.kwargs)
        found = torch.where(kept.bool(), found, NONE)
    operation.give(operation.out, found)


@rule("gather", "index_select", "take_along_dim")
def gather(operation: Operation) -> None:
    """Elements chosen by numbers; where the source has no object, the reader's number tells."""
    marks = operation.marks(operation.args[0])
    dim, index = operation.argument(1, "dim"), operation.argument(2, "index")
    reader = operation.marks(index)
    if operation.name == "index_select":
        found = marks.index_select(dim, index) if marks.dim() else marks.expand(operation.out.shape)
        shape = [-1 if d == dim % max(marks.dim(), 1) else 1 for d in range(max(marks.dim(), 1))]
        reader = reader.reshape(shape) if operation.out.dim() else reader
    else:
        found = marks.gather(dim, index)
    operation.give(operation.out, _unless_known(operation, found, reader))


@rule("index", "_unsafe_index")
def index(operation: Operation) -> None:
    """Elements chosen by numbers or by a mask."""
    indices = operation.argument(1, "indices")
    found = torch.ops.aten.index(operation.marks(operation.args[0]).contiguous(), indices)
    reader = index_marks(operation, indices, found.shape)
    operation.give(operation.out, _unless_known(operation, found, reader))


def _unless_known(operation: Operation, found: Tensor, reader: Tensor) -> Tensor:
    if is_parameter(operation.args[0]) or not any_object(reader):
        return found
    return torch.where((found == NONE) & is_object(reader), reader, found)


def index_marks(operation: Operation, indices: list[Tensor | None], shape: torch.Size) -> Tensor:
    """Marks of the numbers (or mask) that chose each element of an indexing result."""
    block: Tensor | None = None
    used: list[int] = []
    dim = 0
    for one in indices:
        if one is None:
            dim += 1
            continue
        marks = operation.marks(one)
        if one.dtype in (torch.bool, torch.uint8):
            used += range(dim, dim + one.dim())
            dim += one.dim()
            marks = marks[one.bool()]
        else:
            used.append(dim)
            dim += 1
        block = marks if block is None else _latest(block, marks)
    if block is None:
        return operation.marks(None)
    is_together = used == list(range(used[0], used[-1] + 1))
    trailing = len(shape) - block.dim() - (used[0] if is_together else 0)
    return block.reshape(*block.shape, *[1] * max(trailing, 0))


def _latest(first: Tensor, second: Tensor) -> Tensor:
    """Take the later number where both name an object: rows come before classes."""
    first, second = torch.broadcast_tensors(first, second)
    return torch.where(is_object(second), second, first)
