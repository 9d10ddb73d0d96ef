"""Heads without an adapter: the objects of their rows are read from the memory of their targets."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.coder_doors import CoderDoors
from fpnprobe.mm.adapters.loss_values import bound_arguments
from fpnprobe.mm.adapters.mask_doors import MaskDoors
from fpnprobe.mm.adapters.module_paths import term_of
from fpnprobe.mm.adapters.objects import Objects
from fpnprobe.mm.adapters.row_marks import MarkedRows, check_rows, label_rows
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.provenance import (
    BACKGROUND,
    LossFunctions,
    MarkedObjects,
    Provenance,
    Witness,
    add_cuts,
)
from fpnprobe.probing.provenance.operation import unobserved

_DOORS = ("loss", "loss_and_predict", "get_label_assignment")


class FollowedHeads:
    """Follows the annotations of a detector's forward pass into its losses.

    Marks are set when a head takes the data samples, because detectors copy and edit them before
    (an RPN is given all objects as class 0). Inside, a dispatch mode follows them; a loss module
    is called with the rows of its prediction labeled.

    Args:
        partition: Where the labeled rows go.
        collect: Whether problems are told in `witness.problems`, and the forward pass goes on.

    Attributes:
        witness: Which rows were compared with their objects.
    """

    def __init__(self, partition: LossPartition, *, collect: bool = False) -> None:
        self._partition, self._is_collecting = partition, collect
        self._objects: Objects | None = None
        self._depth = 0
        self._calls: list[tuple[ExitStack, list[Tensor]]] = []  # what each has returned
        self._heads: dict[str, str] = {}  # class of each module that owns a loss, and its path
        self._start(None)

    def _start(self, objects: Objects | None) -> None:
        self._provenance = Provenance()
        empty = torch.zeros(0, dtype=torch.long)
        marked = MarkedObjects(empty, empty) if objects is None else objects.marked()
        self.witness = Witness(marked, problems=[] if self._is_collecting else None)
        self._functions = LossFunctions(self._provenance, self.witness)
        self._masks = MaskDoors(self._provenance)
        self._coders = CoderDoors(self._provenance, self.witness)
        self._objects, self._depth = objects, 0
        self._calls.clear()

    def begin(self, objects: Objects) -> None:
        """Begin a forward pass: forget the one before."""
        self._start(objects)

    def finish(self) -> None:
        """Give the labeled rows of the forward pass to the partition.

        Raises:
            FpnProbeError: If no row of any loss could be followed, so that everything would count
                as background.
        """
        add_cuts(self._partition, self._provenance, self.witness.objects)
        if not self._partition.calls and torch.is_grad_enabled():
            head, path = next(iter(self._heads.items()), ("the head", "?"))
            raise FpnProbeError(
                f"head {head} ({path}) is not known: no row of its losses could be followed to an "
                "annotated object, since it takes the data samples by another door than loss(); "
                f"add an adapter with @register_head({head})"
            )
        self._start(self._objects)

    def attach(self, detector: nn.Module, undo: ExitStack) -> None:
        """Wrap the doors of every head, and observe every loss module."""
        for path, module in _modules_with_teacher(detector):
            for door in _DOORS:
                if path and callable(getattr(module, door, None)):
                    self._open_door(module, path, door, undo)
        for path, module in detector.named_modules():
            owner = path.rpartition(".")[0]
            kind = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
            name = path.rpartition(".")[2]
            is_loss = ("loss" in name or name == "criterion") and not isinstance(module, kind)
            if is_loss and owner:
                self._heads.setdefault(type(detector.get_submodule(owner)).__name__, owner)
                self._watch_loss(path, module, detector.get_submodule(owner), undo)

    def _open_door(self, module: nn.Module, path: str, name: str, undo: ExitStack) -> None:
        original = getattr(module, name)

        def enter(*args: Any, **kwargs: Any) -> Any:
            self._mark_samples((*args, *kwargs.values()))
            self._depth += 1
            try:
                with self._provenance.inside(path, term_of(path)):
                    if self._depth > 1:
                        return original(*args, **kwargs)
                    with (
                        self._masks.opened(),
                        self._coders.opened(),
                        self._provenance,
                        self._functions,
                    ):
                        return original(*args, **kwargs)
            finally:
                self._depth -= 1

        vars(module)[name] = enter
        undo.callback(vars(module).pop, name, None)

    def _mark_samples(self, arguments: Sequence[Any]) -> None:
        """Number the annotations that a head is given, and note the classes as it sees them."""
        for given in arguments:
            if not isinstance(given, (list, tuple)) or not given:
                continue
            truths = [_annotations(one) for one in given]
            if self._objects is None or any(truth is None for truth in truths):
                continue
            counts = [len(truth.labels) for truth in truths if truth is not None]
            of_images = [after - before for before, after in pairwise(self._objects.first)]
            if counts != of_images * (len(counts) // len(of_images)):
                continue
            with unobserved():
                self._mark(given, truths)

    def _mark(self, given: Sequence[Any], truths: Sequence[Any]) -> None:
        assert self._objects is not None
        provenance = self._provenance
        for image, (sample, truth) in enumerate(zip(given, truths, strict=True)):
            numbers = self._objects.of_image(image)
            provenance.mark(truth.labels, numbers)
            boxes = getattr(truth.bboxes, "tensor", truth.bboxes) if "bboxes" in truth else None
            if boxes is not None and len(boxes):
                provenance.mark(boxes, numbers[:, None])
            masks = truth.masks if "masks" in truth else None
            if isinstance(masks, Tensor):
                provenance.mark(masks, numbers[:, None, None])
            elif masks is not None:
                self._masks.mark(masks, numbers)
            stuff = getattr(getattr(sample, "gt_sem_seg", None), "sem_seg", None)
            if isinstance(stuff, Tensor):
                provenance.mark(stuff, torch.tensor(BACKGROUND))
        once = truths[: self._objects.images]
        classes = torch.cat([truth.labels.reshape(-1) for truth in once]).cpu()
        self.witness.objects = replace(self.witness.objects, classes=classes)
        provenance.memory.classes = classes

    def _watch_loss(self, path: str, module: nn.Module, head: nn.Module, undo: ExitStack) -> None:
        def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
            call = ExitStack()
            self._calls.append((call, []))
            if self._depth and len(self._calls) == 1 and torch.is_grad_enabled():
                with unobserved():
                    rows = self._label(path, module, head, args, kwargs, call)
                if rows is not None:
                    taken = self._provenance.taken_whole(rows.prediction, rows.labels)
                    self._calls[-1] = call, call.enter_context(taken)

        def after(_module: nn.Module, _args: Any, out: Any) -> None:
            if self._calls:
                call, returned = self._calls.pop()
                if isinstance(out, Tensor):
                    returned.append(out)
                call.close()

        undo.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        undo.callback(module.register_forward_hook(after, always_call=True).remove)

    def _label(
        self, path: str, module: nn.Module, head: nn.Module, args: Any, kwargs: Any, call: ExitStack
    ) -> MarkedRows | None:
        call.enter_context(self._functions.paused())
        call.enter_context(self._provenance.inside(path, term_of(path)))
        arguments = bound_arguments(module, args, kwargs)
        rows = label_rows(arguments, self._provenance)
        if rows is None:
            return None
        count = getattr(head, "num_classes", None)
        self.witness.width = count if isinstance(count, int) else None
        check_rows(path, arguments, rows, self.witness)
        call.enter_context(self._provenance.labeled(rows.prediction, rows.labels))
        return rows


def _modules_with_teacher(detector: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield all modules, and those of a teacher: kept beside them, it has no part in the state."""
    yield from detector.named_modules()
    for name, value in vars(detector).items():
        if isinstance(value, nn.Module):
            yield from value.named_modules(prefix=name)


def _annotations(sample: Any) -> Any:
    """The annotated instances of an image: a data sample's, or what is one itself."""
    if hasattr(sample, "gt_instances"):
        return sample.gt_instances
    return sample if isinstance(sample, InstanceData) and "labels" in sample else None
