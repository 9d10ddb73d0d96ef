"""Box coders make offsets of boxes: the last place to hold a target against its object."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from mmdet.models.task_modules.coders import BaseBBoxCoder
from torch import Tensor

from fpnprobe.probing.provenance import Provenance, Witness
from fpnprobe.probing.provenance.operation import unobserved

_BOXES = 4


class CoderDoors:
    """Compares the boxes that box coders are given with the objects of their marks.

    A loss on offsets cannot be witnessed: its target is no box. What a coder makes of a box keeps
    the box's mark, row by row, so the box is compared before.
    """

    def __init__(self, provenance: Provenance, witness: Witness) -> None:
        self._provenance, self._witness = provenance, witness

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Inside, every box coder's `encode` is watched; afterwards the classes are as before."""
        with ExitStack() as undo:
            for kind in _list_subclasses(BaseBBoxCoder):
                if "encode" in vars(kind):
                    original = vars(kind)["encode"]
                    kind.encode = self._watch_coder(original)
                    undo.callback(setattr, kind, "encode", original)
            yield

    def _watch_coder(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def encode(coder: Any, priors: Any, boxes: Any, *args: Any, **kwargs: Any) -> Any:
            target = getattr(boxes, "tensor", boxes)
            if isinstance(target, Tensor) and target.shape[1:] == (_BOXES,):
                scope = self._provenance.scope
                with unobserved():
                    marks = self._provenance.memory.read(target)[:, 0]
                    name = f"{scope[-1][0] if scope else 'the head'}.bbox_coder"
                    self._witness.rows[name] += int((marks >= 0).sum())
                    self._witness.check_boxes(name, target, marks)
            return original(coder, priors, boxes, *args, **kwargs)

        return encode


def _list_subclasses(kind: Any) -> Iterator[Any]:
    for child in kind.__subclasses__():
        yield child
        yield from _list_subclasses(child)
