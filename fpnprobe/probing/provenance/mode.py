"""Follows annotated objects through the operators of a forward pass."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fpnprobe.probing.graph import Edge
from fpnprobe.probing.provenance.cuts import CutRecord, RowCut, edge_of
from fpnprobe.probing.provenance.marks import NONE, Reasons
from fpnprobe.probing.provenance.memory import MarkedArrays, MarkMemory
from fpnprobe.probing.provenance.operation import (
    Operation,
    is_parameter,
    tensors_in,
    unobserved,
)
from fpnprobe.probing.provenance.operators import (  # noqa: F401  their rules register themselves
    choosing,
    joining,
    loss_rules,
    moving,
    pointwise,
    writing,
)
from fpnprobe.probing.provenance.rules import RULES
from fpnprobe.probing.provenance.unseen_losses import UnseenLosses

_FACTORIES = ("empty", "zeros", "ones", "full", "rand", "arange", "new_", "bernoulli", "normal")
_WITHOUT_MARKS = ("_local_scalar_dense", "equal", "item", "bincount", "histc", "detach", "alias")


class Provenance(TorchDispatchMode):
    """Gives every element of a target the number of its object, and every loss row its label.

    Made for one forward pass. Marks are set on annotations (`mark`), follow the data by storage,
    and label what gradients flow through where a prediction first meets a marked target. Where
    labeled rows are joined, by a sum or a loss function, a `RowCut` is kept. The computation itself
    is not touched: marks are computed beside it.

    >>> boxes = torch.tensor([[0.0, 0, 4, 4], [2, 2, 9, 9]])
    >>> provenance = Provenance()
    >>> provenance.mark(boxes, torch.tensor([[0], [1]]))
    >>> predictions = torch.zeros(3, 4, requires_grad=True) * 1
    >>> with provenance:
    ...     target = boxes[torch.tensor([1, 1, 0])]
    ...     loss = (predictions - target).abs().sum()
    >>> [found.cut.marks[:, 0].tolist() for found in provenance.cuts]
    [[1, 1, 0]]
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.memory, self._compared = MarkMemory(), MarkMemory()
        self.reasons = Reasons()
        self.unknown_operators: set[str] = set()
        self.scope: list[tuple[str, str]] = []
        # Mark of what last left torch as a Python number or an array: a door may ask for it.
        self.last_left = NONE
        # A door may know that what is filled here lies at a place read off that object.
        self.is_filling = False
        self._arrays = MarkedArrays(self.memory)
        self._record = CutRecord()
        self._unseen = UnseenLosses(self.memory, self._record)

    @property
    def cuts(self) -> list[RowCut]:
        """Where labeled rows were joined, in the order of the forward pass."""
        return self._record.cuts

    def mark(self, tensor: Tensor, numbers: Tensor) -> None:
        """Say which object each element of an annotation belongs to.

        Args:
            tensor: Labels `(N,)`, boxes `(N, 4)`, masks `(N, H, W)` or anything of the annotations.
            numbers: Numbers of their objects, in a shape that broadcasts to the tensor's.
        """
        with unobserved():
            wide = numbers.to(device=tensor.device, dtype=torch.int32).expand(tensor.shape)
            self.memory.write(tensor, wide)

    def note_leaving(self, tensor: Tensor) -> None:
        """Remember whose value leaves torch, if it is one object's."""
        if self.memory.knows(tensor) and tensor.numel():
            with unobserved():
                marks = self.memory.read(tensor)
                self.last_left = int(marks.max()) if bool((marks == marks.max()).all()) else NONE

    def mark_array(self, array: Any, numbers: Tensor) -> None:
        """Say which object each row of a numpy array belongs to, for tensors on its memory."""
        self._arrays.mark(array, numbers)

    def marks_of(self, tensor: Tensor) -> Tensor:
        """Marks of a tensor's elements, as they are now."""
        with unobserved():
            return self.memory.read(tensor).clone()

    @contextmanager
    def inside(self, name: str, term: str) -> Iterator[None]:
        """Cuts made inside have this name and loss term."""
        self.scope.append((name, term))
        try:
            yield
        finally:
            self.settle()
            self.scope.pop()

    @contextmanager
    def labeled(self, prediction: Tensor, labels: Tensor) -> Iterator[None]:
        """Inside, the elements of a prediction have these labels; afterwards what they had."""
        given: Tensor | None = labels
        with unobserved():
            if any(
                n > 1 and not s for n, s in zip(prediction.shape, prediction.stride(), strict=True)
            ):
                given = None  # an expanded tensor has one place for several rows
            else:
                before = self.memory.read(prediction).clone()
                self.memory.write(prediction, labels.expand(prediction.shape))
        try:
            yield
        finally:
            if given is not None:
                with unobserved():
                    self.memory.write(prediction, before)

    def taken_whole(self, rows: Tensor, labels: Tensor) -> AbstractContextManager[list[Tensor]]:
        """Inside, a loss is computed; rows that no operator tells of are taken where it ends.

        See `UnseenLosses.around`.
        """
        return self._unseen.around(rows, labels, self.scope[-1])

    def settle(self) -> None:
        """Find the graph edges of cuts whose operator has returned."""
        self._record.settle()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.settle()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operator, and its rule on the marks."""
        kwargs = kwargs or {}
        self.settle()
        inputs = list(tensors_in((args, kwargs)))
        self._arrays.adopt(inputs)
        in_graph = torch.is_grad_enabled() and any(t.requires_grad for t in inputs)
        edges = {}
        if in_graph:
            self._unseen.label(inputs)
            edges = {id(t): edge_of(t) for t in inputs if t.requires_grad}
        out = func(*args, **kwargs)
        name = func._schema.name.partition("::")[2].removesuffix("_")
        if name == "_local_scalar_dense":
            self.note_leaving(inputs[0])
        if any(self.memory.knows(t) for t in inputs):
            self._follow(func, name, args, kwargs, out, inputs, in_graph, edges)
        if self.is_filling and name in ("fill", "copy") and self.last_left != NONE:
            with unobserved():
                number = torch.tensor(self.last_left, dtype=torch.int32, device=out.device)
                self.memory.write(out, number.expand(out.shape))
        return out

    def _follow(
        self,
        func: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        inputs: list[Tensor],
        in_graph: bool,
        edges: dict[int, Edge | None],
    ) -> None:
        if name.startswith(_FACTORIES) or name.endswith("_like") or name in _WITHOUT_MARKS:
            return
        outputs = list(tensors_in(out))
        if not outputs:
            return
        alias = (argument.alias_info for argument in func._schema.arguments)
        is_changed = any(one is not None and one.is_write for one in alias)
        held = {t.untyped_storage()._cdata for t in inputs}
        if not is_changed and all(t.untyped_storage()._cdata in held for t in outputs):
            return  # a view: it looks at the same marks
        memories = self.memory, self._compared
        operation = Operation(
            name, func._overloadname, args, kwargs, out, in_graph, *memories, self.reasons, func
        )
        rule = RULES.get(name)
        if rule is None and _is_pointwise(func, name):
            rule = RULES["pointwise"]
        if rule is None:
            self._lose(operation, inputs)
        else:
            rule(operation)
        where = self.scope[-1] if self.scope else ("", "loss")
        for cut in operation.cuts:
            self._record.add(cut, edges[id(cut.rows)], where)

    def _lose(self, operation: Operation, inputs: list[Tensor]) -> None:
        """An operator without a rule: labeled rows end here, targets are of no known object."""
        if operation.in_graph:
            for tensor in inputs:
                if operation.is_labeled(tensor) and not any(is_parameter(t) for t in inputs):
                    operation.cut(tensor)
            return
        if not any(bool((self.memory.read(t) != NONE).any()) for t in inputs):
            return
        self.unknown_operators.add(operation.name)
        code = self.reasons.code(f"{operation.name} has no rule")
        for one in operation.outputs():
            operation.give(one, torch.tensor(code, dtype=torch.int32, device=one.device))


def _is_pointwise(func: Any, name: str) -> bool:
    """Whether an operator works element by element; its in-place form is not tagged so itself."""
    if torch.Tag.pointwise in func.tags:
        return True
    packet = getattr(torch.ops.aten, name, None)
    overloads = packet.overloads() if packet is not None else ()
    return any(torch.Tag.pointwise in getattr(packet, one).tags for one in overloads)
