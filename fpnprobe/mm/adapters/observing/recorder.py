"""Observes the calls of loss modules and labels their rows; changes nothing that they return."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.label_check import check_classes, check_tables, class_target
from fpnprobe.mm.adapters.levels import Levels
from fpnprobe.mm.adapters.loss_values import bound_arguments, reduction_of, split_value
from fpnprobe.mm.adapters.module_paths import term_of
from fpnprobe.mm.adapters.objects import Objects
from fpnprobe.mm.adapters.observing.head_rows import Rows
from fpnprobe.probing.calls import LossCall
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.provenance import MarkedObjects, Witness
from fpnprobe.probing.rows import LossRows


class Recorder:
    """Collects the loss calls of one forward pass into a partition."""

    def __init__(self, partition: LossPartition, *, values: bool = True) -> None:
        self.partition = partition
        self._values = values
        self.levels = Levels()
        self._objects: Objects | None = None
        self.witness = Witness(MarkedObjects(torch.zeros(0).long(), torch.zeros(0).long()))
        self._stack: list[Rows] = []
        self._starts: list[int] = []
        self._shown: list[LossCall] = []
        self._muted: set[nn.Module] = set()
        self._inside = False

    @property
    def objects(self) -> Objects:
        """Objects of the batch."""
        if self._objects is None:
            raise FpnProbeError("a loss was called before the detector saw its data samples")
        return self._objects

    def begin(self, objects: Objects) -> None:
        """Begin a forward pass: forget the one before."""
        self._objects = objects
        self.witness = Witness(objects.marked())
        self.partition.forget()
        self.partition.objects = objects.count(len(self.partition.buckets))
        self.partition.areas = objects.areas
        self.levels = Levels()
        self._stack, self._starts, self._shown = [], [], []

    def saw_maps(self, levels: Sequence[int]) -> None:
        """The maps that the heads see have these levels."""
        self.levels.maps = tuple(levels)
        # Announced, so that processes agree on them even where one pooled no box from a level.
        self.partition.levels = list(levels)

    @contextmanager
    def rows(self, rows: Rows) -> Iterator[Rows]:
        """Loss calls inside have these rows."""
        self._stack.append(rows)
        try:
            yield rows
        finally:
            self._stack.pop()

    def mute(self, module: nn.Module) -> None:
        """Ignore a loss module whose result enters the loss through rows shown elsewhere."""
        self._muted.add(module)

    def show(self, name: str, rows: Tensor, head_rows: Rows) -> None:
        """Take unreduced loss rows."""
        objects = head_rows.objects
        assert objects is not None
        label = self.objects.labels(objects.to(rows.device), len(self.partition.buckets))
        levels = None if head_rows.levels is None else head_rows.levels.to(rows.device)
        self.partition.add(
            LossCall(
                name,
                term_of(head_rows.path),
                rows,
                rows,
                label,
                levels=levels,
                objects=objects.to(rows.device),
            )
        )

    def watch(self, name: str, module: nn.Module, head: str, undo: ExitStack) -> None:
        """Observe a loss module, or a `LossRows`, of a head of this class."""

        def before(_module: nn.Module, _args: Any) -> None:
            if not self._inside:
                self._starts.append(len(self.partition.calls))

        def after(_module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            if not self._inside:
                self._after_loss(name, module, head, args, kwargs, out)

        undo.callback(module.register_forward_pre_hook(before).remove)
        undo.callback(module.register_forward_hook(after, with_kwargs=True).remove)

    def _after_loss(
        self, name: str, module: nn.Module, head: str, args: Any, kwargs: Any, out: Any
    ) -> None:
        calls, start = self.partition.calls, self._starts.pop()
        within, calls[start:] = calls[start:], []
        head_rows = self._stack[-1] if self._stack else None
        # A loss under no_grad chooses rows (OHEM's sampler asks it so) and is no part of the loss.
        if module in self._muted or not torch.is_grad_enabled():
            return
        if head_rows is None:
            raise FpnProbeError(
                f"head {head} calls {name} where the adapter of the class it inherits from does "
                f"not expect it: add one with @fpnprobe.mm.adapters.register_head({head})"
            )
        shown = [call for call in within if any(call is listed for listed in self._shown)]
        if shown:  # its rows passed by inside, with all their factors
            calls += shown
        elif not head_rows.later:
            self._record_call(name, module, bound_arguments(module, args, kwargs), out, head_rows)

    def _record_call(
        self, name: str, module: nn.Module, arguments: dict[str, Any], out: Any, head_rows: Rows
    ) -> None:
        if not isinstance(out, Tensor):
            raise FpnProbeError(
                f"{name} ({type(module).__name__}) returns {type(out).__name__}, expected a "
                "tensor: write an adapter with fpnprobe.mm.adapters.register_head"
            )
        if head_rows.objects is None:
            raise FpnProbeError(f"{name} was called before the rows of its head were known")
        prediction = next(iter(arguments.values()))
        call_rows = self._align_rows(name, prediction, head_rows)
        assert call_rows.objects is not None
        target = class_target(arguments, len(call_rows.objects))
        if target is not None and not isinstance(module, LossRows):
            check_classes(
                name,
                target,
                self.objects.class_of(call_rows.objects.to(target.device)),
                classes=head_rows.classes,
                masks=term_of(head_rows.path) == "mask",
            )
            self.witness.witnessed[name] += int((call_rows.objects >= 0).sum())
        elif not isinstance(module, LossRows):
            check_tables(
                self.witness, name, arguments, call_rows.objects, classes=head_rows.classes
            )
        if isinstance(module, LossRows) or reduction_of(module, arguments) == "none":
            self.show(name, out, call_rows)
            if isinstance(module, LossRows):
                self._shown.append(self.partition.calls[-1])
            return
        buckets = len(self.partition.buckets)
        labels = self.objects.labels(call_rows.objects.to(prediction.device), buckets)
        levels = None if call_rows.levels is None else call_rows.levels.to(labels.device)
        values = None
        if self._values:
            self._inside = True
            try:
                values = split_value(module, arguments, out, labels, buckets + 1)
            finally:
                self._inside = False
        self.partition.add(
            LossCall(
                name,
                term_of(head_rows.path),
                prediction,
                out,
                labels,
                values,
                levels,
                objects=call_rows.objects.to(prediction.device),
            )
        )

    def _align_rows(self, name: str, prediction: Tensor, head_rows: Rows) -> Rows:
        """Rows of this call: all rows of the head, or those with an object, in order."""
        objects, levels = head_rows.objects, head_rows.levels
        assert objects is not None
        if len(prediction) == len(objects):
            return head_rows
        has_object = objects >= 0
        if len(prediction) != int(has_object.sum()):
            raise FpnProbeError(
                f"{name}: {len(prediction)} rows, but the head has {len(objects)} of which "
                f"{int(has_object.sum())} have an object: write an adapter for this head with "
                "fpnprobe.mm.adapters.register_head"
            )
        kept_levels = None if levels is None else levels.to(has_object.device)[has_object]
        return Rows(head_rows.path, head_rows.classes, objects[has_object], kept_levels)
