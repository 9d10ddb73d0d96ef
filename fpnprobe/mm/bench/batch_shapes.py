"""What an iteration takes whose batch has a shape that the process has not seen before.

On a GPU, cuDNN plans its convolutions anew for each shape of a batch, which can take as long as
hundreds of steps.
"""

import statistics
import time
from typing import Any

import torch
from mmengine.hooks import Hook


class ShapesHook(Hook):
    """Notes the wall time of each iteration of a process' first training, and its batch's shape."""

    def __init__(self) -> None:
        self._iterations: list[tuple[tuple[int, ...], float]] = []
        self._begun = 0.0
        self._shape: tuple[int, ...] = ()
        self._handle: Any = None

    def before_train(self, runner: Any) -> None:
        """Look at what the backbone is given."""
        detector = getattr(runner.model, "module", runner.model)
        self._handle = detector.backbone.register_forward_pre_hook(self._note)

    def before_train_iter(self, *_: Any, **__: Any) -> None:
        """Start the iteration's clock."""
        self._begun = _now()

    def after_train_iter(self, *_: Any, **__: Any) -> None:
        """Stop it."""
        self._iterations.append((self._shape, _now() - self._begun))

    def after_train(self, _runner: Any) -> None:
        """Leave the backbone as it was."""
        self._handle.remove()

    def _note(self, _module: Any, inputs: Any) -> None:
        self._shape = tuple(inputs[0].shape)

    def summary(self) -> dict[str, float]:
        """Return the number of `shapes`, and the median seconds of iterations.

        `new_s` is of those whose batch had a new shape, `seen_s` of the others; 0 where there are
        none.
        """
        seen: set[tuple[int, ...]] = set()
        new_s: list[float] = []
        seen_s: list[float] = []
        for shape, seconds in self._iterations:
            (seen_s if shape in seen else new_s).append(seconds)
            seen.add(shape)
        medians = [statistics.median(each) if each else 0.0 for each in (new_s, seen_s)]
        return {"shapes": len(seen), "new_s": medians[0], "seen_s": medians[1]}


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
