"""Loss functions that are called by name: which of their rows is whose."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fpnprobe.probing.provenance.marks import BACKGROUND, NONE, is_lost, is_object
from fpnprobe.probing.provenance.mode import Provenance
from fpnprobe.probing.provenance.operation import unobserved
from fpnprobe.probing.provenance.witness import Witness

_CLASSES = ("cross_entropy", "nll_loss")
_ELEMENTS = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "l1_loss",
    "smooth_l1_loss",
    "mse_loss",
    "huber_loss",
    "kl_div",
    "soft_margin_loss",
)

_EXITS = ("numpy", "tolist", "__array__")


class LossFunctions(TorchFunctionMode):
    """Labels the predictions that `torch.nn.functional`'s losses are given, row by row.

    What is inside such a function is of the same row as its target, also where it does not meet it
    (the softplus of a cross entropy, the smooth part of smoothed labels). While the function runs,
    its prediction is marked with the labels of its target.
    """

    def __init__(self, provenance: Provenance, witness: Witness) -> None:
        super().__init__()
        self._provenance, self._witness = provenance, witness
        self._is_paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, predictions are labeled already: no function labels them anew."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function; a loss function with its prediction labeled."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if not self._is_paused and (name in _CLASSES or name in _ELEMENTS):
            first = args[0] if args else kwargs.get("input")
            second = args[1] if len(args) > 1 else kwargs.get("target")
            if isinstance(first, Tensor) and isinstance(second, Tensor) and torch.is_grad_enabled():
                return self._label(func, name, first, second, args, kwargs)
        if name in _EXITS and args and isinstance(args[0], Tensor):
            self._provenance.note_leaving(args[0])
        return func(*args, **kwargs)

    def _label(
        self,
        func: Callable[..., Any],
        name: str,
        first: Tensor,
        second: Tensor,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        prediction, target = (first, second) if first.requires_grad else (second, first)
        if not prediction.requires_grad or target.requires_grad or not prediction.numel():
            return func(*args, **kwargs)
        with unobserved():
            labels = self.labels(name, prediction, target)
        scope = self._provenance.scope
        path, term = scope[-1] if scope else ("", "loss")
        with ExitStack() as undo:
            undo.enter_context(self._provenance.inside(path or name, term))
            if labels is not None:
                undo.enter_context(self._provenance.labeled(prediction, labels))
            return func(*args, **kwargs)

    def labels(self, name: str, prediction: Tensor, target: Tensor) -> Tensor | None:
        """Labels of a prediction's elements, after its target was held against its objects."""
        memory = self._provenance.memory
        met, own = memory.read(target), memory.read(prediction)
        scope = self._provenance.scope
        where = (scope[-1][0] if scope else "") or name
        is_known = not bool((met == NONE).all())
        classes = name in _CLASSES and target.shape != prediction.shape
        if classes:
            dim = 0 if prediction.dim() == 1 else 1
            own_rows = own.select(dim, 0)
        else:
            if torch.broadcast_shapes(prediction.shape, target.shape) != prediction.shape:
                return None
            own_rows = own
            met = met.expand(prediction.shape)
        # The target decides; where it says nothing at all, the rows that were chosen do.
        labels = torch.where(met == NONE, BACKGROUND, met) if is_known else own_rows
        labels = torch.where(is_lost(labels) & is_object(own_rows), own_rows, labels)
        seen = torch.where(labels == BACKGROUND, NONE, labels) if is_known else own_rows
        if classes:
            columns = prediction.shape[dim]
            self._witness.check_classes(where, target, seen, columns=columns)
            labels = labels.unsqueeze(dim).expand(prediction.shape)
        elif target.shape == prediction.shape:
            self._check_elements(where, name, target, seen)
        return torch.where(labels == NONE, BACKGROUND, labels)

    def _check_elements(self, where: str, name: str, target: Tensor, marks: Tensor) -> None:
        witness = self._witness
        if marks.dim() < 2 or not bool((marks.amax(-1) == marks.amin(-1)).all()):
            witness.rows[where] += int((marks >= 0).sum())
            witness.check_background(where, target, marks)
            return
        rows = marks[..., 0]
        if name.startswith("binary_cross_entropy"):
            witness.check_table(where, target, rows)
        else:
            witness.rows[where] += int((rows >= 0).sum())
            witness.check_background(where, target, rows)
            witness.check_boxes(where, target, rows)
