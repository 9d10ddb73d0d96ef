"""One operator call as the rules see it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fpnprobe.probing.provenance.marks import NONE, Reasons, is_object
from fpnprobe.probing.provenance.memory import MarkMemory


@dataclass(slots=True, eq=False)
class Cut:
    """A place where rows with a label each are joined to a loss, or to something without rows.

    Attributes:
        rows: The tensor whose elements are labeled, before the operator.
        marks: Object of each element, in the shape of `rows`.
        result: What the operator made of them.
        operator: Its name.
        parts: Loss of each row where the operator is a loss function; else None.
        part_marks: Object of each of `parts`.
        linear: Whether the rows' share in the result is their own sum.
    """

    rows: Tensor
    marks: Tensor
    result: Tensor
    operator: str
    parts: Tensor | None = None
    part_marks: Tensor | None = None
    linear: bool = False


@dataclass(slots=True)
class Operation:
    """An operator with what went in and what came out, and the marks of both.

    Attributes:
        name: Name of the operator, without an underscore at the end.
        args: Its arguments.
        kwargs: Its arguments by name.
        out: What it returned.
        in_graph: Whether gradients flow through the result.
        memory: Where marks are read and written.
        compared: Marks of what was compared, also where the outcome is false.
        reasons: Where lost objects are explained.
        cuts: Cuts that the rules found in this call.
    """

    name: str
    overload: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    in_graph: bool
    memory: MarkMemory
    compared: MarkMemory
    reasons: Reasons
    function: Callable[..., Any]
    cuts: list[Cut] = field(default_factory=list)

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by its position or its name."""
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name, default)

    def marks(self, value: Any) -> Tensor:
        """Marks of an argument, on the device of the result; of a number, none.

        Operators on a GPU take numbers, masks and places that lie on the CPU.
        """
        device = next((tensor.device for tensor in self.outputs()), torch.device("cpu"))
        if isinstance(value, Tensor):
            return self.memory.read(value).to(device)
        return torch.full((), NONE, dtype=torch.int32, device=device)

    def give(self, tensor: Tensor, marks: Tensor) -> None:
        """Set the marks of a result, or of an argument that was changed."""
        self.memory.write(tensor, marks.expand(tensor.shape))

    def lost(self) -> int:
        """The code that says that this operator joined several objects."""
        return self.reasons.code(f"{self.name} joins several objects")

    def tensors(self) -> list[Tensor]:
        """Tensors among the arguments, except those that only hold the result."""
        named = {name: value for name, value in self.kwargs.items() if name != "out"}
        return list(tensors_in((self.args, named)))

    def outputs(self) -> list[Tensor]:
        """Tensors among the results."""
        return list(tensors_in(self.out))

    def is_labeled(self, tensor: Tensor) -> bool:
        """Whether a tensor is part of the graph and its elements have labels."""
        return (
            tensor.requires_grad
            and self.memory.knows(tensor)
            and bool((self.memory.read(tensor) != NONE).any())
        )

    def cut(self, rows: Tensor, *, linear: bool = False) -> None:
        """Say that the elements of `rows` are joined by this operator."""
        if self.in_graph and rows.requires_grad:
            marks, result = self.memory.read(rows).clone(), self.outputs()[0]
            self.cuts.append(Cut(rows, marks, result, self.name, linear=linear))


def tensors_in(values: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples and mappings."""
    if isinstance(values, Tensor):
        if values.layout == torch.strided:
            yield values
    elif isinstance(values, dict):
        for value in values.values():
            yield from tensors_in(value)
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from tensors_in(value)


def is_parameter(tensor: Tensor) -> bool:
    """Whether a tensor is a parameter that turns features into others, not a factor on a loss."""
    return isinstance(tensor, nn.Parameter) and tensor.dim() > 0


def normalized_dims(dims: Any, count: int) -> tuple[int, ...]:
    """Dimensions as numbers from 0; none given means all.

    >>> normalized_dims(-1, 3), normalized_dims(None, 2), normalized_dims([0, -1], 3)
    ((2,), (0, 1), (0, 2))
    """
    if dims is None or (isinstance(dims, Sequence) and not dims):
        return tuple(range(count))
    numbers: Iterable[int] = [dims] if isinstance(dims, int) else dims
    return tuple(dim % count for dim in numbers) if count else ()


def any_object(marks: Tensor) -> bool:
    """Whether some element belongs to an object."""
    return bool(is_object(marks).any())


def unobserved() -> Any:
    """Context without any dispatch mode: operators on marks are not followed themselves."""
    from torch.utils._python_dispatch import _disable_current_modes

    disable: Callable[[], Any] = _disable_current_modes
    return disable()
