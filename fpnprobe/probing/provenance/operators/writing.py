"""Operators that write into a tensor: values bring their marks, constants tell by where they go."""

import torch
from torch import Tensor

from fpnprobe.probing.provenance.marks import NONE, is_lost, is_object, join_reduced
from fpnprobe.probing.provenance.operation import Operation, any_object
from fpnprobe.probing.provenance.operators.moving import index_marks
from fpnprobe.probing.provenance.rules import rule

_CLASS_NUMBERS = (torch.int16, torch.int32, torch.int64)
_MASKS = (torch.bool, torch.uint8)


@rule("copy")
def copy_into(operation: Operation) -> None:
    """Elements are overwritten by others."""
    operation.give(operation.args[0], operation.marks(operation.args[1]))


@rule("fill", "zero")
def fill(operation: Operation) -> None:
    """A constant has no object; a 0-dim tensor brings its own."""
    value = operation.argument(1, "value")
    operation.give(_target(operation), operation.marks(value))


@rule("masked_fill")
def masked_fill(operation: Operation) -> None:
    """A constant under a mask.

    1 says "this is an object's", any other value takes the object away; but a bound that is set
    where the number itself is beyond it (`x[x > 9] = 9`) leaves it.
    """
    mask = operation.argument(1, "mask")
    value = operation.argument(2, "value")
    target = _target(operation)
    new = operation.marks(value)
    is_float = target.dtype == torch.bool or target.is_floating_point()
    if is_float and not any_object(new) and float(value) == 1.0:
        new = operation.marks(mask)
    marks = operation.marks(operation.args[0])
    if target.is_floating_point() and not any_object(new):
        of_itself = (marks == operation.marks(mask)) & is_object(marks)
        new = torch.where(of_itself, marks, new)
    operation.give(target, torch.where(mask.bool(), new, marks))


@rule("masked_scatter")
def masked_scatter(operation: Operation) -> None:
    """Values written in order under a mask."""
    mask, source = operation.argument(1, "mask"), operation.argument(2, "source")
    marks = operation.marks(operation.args[0]).expand(operation.outputs()[0].shape).contiguous()
    values = operation.marks(source).contiguous()
    operation.give(_target(operation), marks.masked_scatter(mask, values))


@rule("index_fill")
def index_fill(operation: Operation) -> None:
    """A constant at numbered places takes the place's object, or takes its own away."""
    dim, numbers = operation.argument(1, "dim"), operation.argument(2, "index")
    target = _target(operation)
    marks = operation.marks(operation.args[0]).clone()
    shape = [-1 if d == dim % marks.dim() else 1 for d in range(marks.dim())]
    places = operation.marks(numbers).reshape(shape)
    width = [len(numbers) if d == dim % marks.dim() else n for d, n in enumerate(marks.shape)]
    new = places.expand(width).contiguous()
    if _takes_away(operation, operation.argument(3, "value")):
        before = marks.index_select(dim, numbers)
        new = torch.where(is_object(before) & (before == new), NONE, new)
    operation.give(target, marks.index_copy_(dim, numbers, new))


@rule("index_put", "_index_put_impl", "_unsafe_index_put")
def index_put(operation: Operation) -> None:
    """Values written at numbered places or under a mask.

    A value without an object takes that of its numbered place; but a label that is its object's and
    becomes a constant is nobody's from there on (`labels[dropped] = background`). Where classes are
    written in a table (`one_hot[rows, labels] = 1`) the rest of their row is theirs as well; not
    where places are (`labels_of_queries[images, queries] = labels`).
    """
    source = operation.args[0]
    indices = operation.argument(1, "indices")
    marks = operation.marks(source).contiguous().clone()
    shape = torch.ops.aten.index(marks, indices).shape
    places = index_marks(operation, indices, shape).expand(shape)
    new = operation.marks(operation.argument(2, "values")).expand(shape)
    is_masked = all(i is None or i.dtype in _MASKS for i in indices)
    takes_place = is_lost(new) if is_masked else is_lost(new) | (new == NONE)
    new = torch.where(takes_place & is_object(places), places, new)
    if _takes_away(operation, operation.argument(2, "values")):
        before = torch.ops.aten.index(marks, indices)
        new = torch.where(is_object(before) & (before == places), NONE, new)
    marks = torch.ops.aten.index_put(marks, indices, new)
    used = [i for i in indices if i is not None]
    last = indices[-1] if indices else None
    covered = sum(i.dim() if i.dtype in _MASKS else 1 for i in used)
    is_class = (
        last is not None and last.dtype not in _MASKS and operation.memory.holds_classes(last)
    )
    if covered == marks.dim() > 1 and is_class:
        line = (*indices[:-1],)
        rows = marks[line]  # (..., C)
        marks[line] = torch.where(rows == NONE, new.unsqueeze(-1), rows)
    operation.give(_target(operation), marks)


def _takes_away(operation: Operation, value: Tensor | float) -> bool:
    """Whether one constant is written: among class numbers, or as a zero.

    A table of bytes or truth values (the matching of SimOTA) has no class numbers: one in it says
    that the place belongs to its object.
    """
    if isinstance(value, Tensor) and (value.dim() or any_object(operation.marks(value))):
        return False
    return _target(operation).dtype in _CLASS_NUMBERS or float(value) == 0.0


@rule("scatter", "scatter_add", "scatter_reduce", "index_add", "index_copy")
def scatter(operation: Operation) -> None:
    """Values written along a dimension; a constant takes its place's object, for the whole line."""
    dim, numbers = operation.argument(1, "dim"), operation.argument(2, "index")
    value = operation.argument(
        3, "src", operation.kwargs.get("value", operation.kwargs.get("source"))
    )
    target = _target(operation)
    marks = operation.marks(operation.args[0]).expand(target.shape).clone()
    if operation.name.startswith("index_"):
        shape = [-1 if d == dim % max(marks.dim(), 1) else 1 for d in range(marks.dim())]
        width = [len(numbers) if d == dim % marks.dim() else n for d, n in enumerate(marks.shape)]
        places = operation.marks(numbers).reshape(shape).expand(width)
        wide = numbers.reshape(shape).expand(width)
    else:
        places, wide = operation.marks(numbers), numbers
    new = places
    if isinstance(value, Tensor):
        given = operation.marks(value).expand(value.shape)
        given = given[tuple(slice(0, n) for n in wide.shape)] if value.dim() else given
        new = torch.where(given == NONE, places, given)
    if operation.name in ("scatter", "index_copy"):
        marks.scatter_(dim, wide, new.contiguous())
    else:
        marks = _joined(operation, marks, dim, wide, new.contiguous())
    is_constant = not isinstance(value, Tensor) or value.dim() == 0
    is_class = operation.name == "scatter" and operation.memory.holds_classes(numbers)
    if is_class and is_constant and float(value) != 0.0:
        written = torch.full_like(marks, NONE).scatter_(dim, wide, new.contiguous())
        line = join_reduced(written, (dim % marks.dim(),), NONE)
        marks = torch.where(marks == NONE, line, marks)
    operation.give(target, marks)


def _joined(operation: Operation, marks: Tensor, dim: int, index: Tensor, new: Tensor) -> Tensor:
    """Marks after adding: of the only object that was added to a place, or lost."""
    high = marks.scatter_reduce(dim, index, new, "amax", include_self=True)
    far = torch.iinfo(torch.int32).max
    least = torch.where(is_object(marks), marks, far)
    low = least.scatter_reduce(
        dim, index, torch.where(is_object(new), new, far), "amin", include_self=True
    )
    return torch.where((high >= 0) & (low != high), operation.lost(), high)


def _target(operation: Operation) -> Tensor:
    """What was written into: the argument itself, or the result that is a changed copy of it."""
    target: Tensor = operation.outputs()[0]
    return target
