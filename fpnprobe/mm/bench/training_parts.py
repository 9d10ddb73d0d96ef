"""Times the parts of a training: data, forward, backward, optimizer, probe."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from mmengine.hooks import Hook

PARTS = ("data", "forward", "backward", "optimizer", "other")


class PartClock:
    """Adds up the wall time of the parts of a training loop, synchronized on a device.

    Args:
        warmup: Iterations at the beginning that do not count.
    """

    def __init__(self, warmup: int) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.iterations = 0
        self._warmup = warmup
        self._inner = 0.0  # of the call in progress, what parts inside it have taken
        self._begun: float | None = None
        self._whole = 0.0

    @property
    def per_iteration(self) -> dict[str, float]:
        """Seconds of each part per iteration; `other` is what is left of the whole."""
        count = max(1, self.iterations - self._warmup)
        seconds_by_part = {name: seconds / count for name, seconds in self.seconds.items()}
        seconds_by_part["other"] = max(0.0, self._whole / count - sum(seconds_by_part.values()))
        return seconds_by_part

    def time(self, part_name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work` with its time added to a part, less that of parts inside it."""

        @functools.wraps(work)  # mmengine's schedulers look for a mark on `step`
        def timed(*arguments: Any, **options: Any) -> Any:
            outside, self._inner = self._inner, 0.0
            began = _now()
            try:
                return work(*arguments, **options)
            finally:
                took = _now() - began
                if self._begun is not None:
                    self.seconds[part_name] += took - self._inner
                self._inner = outside + took

        return timed

    def end_iteration(self) -> None:
        """Count an iteration; the clock starts after the warm-up."""
        self.iterations += 1
        now = _now()
        if self.iterations == self._warmup:
            self._begun = now
        elif self._begun is not None:
            self._whole = now - self._begun


class PartsHook(Hook):
    """Times the loop of a runner of ours part by part, from before it runs until after it."""

    def __init__(self, clock: PartClock) -> None:
        self._clock = clock
        self._undo = ExitStack()

    def before_run(self, runner: Any) -> None:
        """Cover what the parts are made of."""
        detector = getattr(runner.model, "module", runner.model)
        wrapper, loop = runner.optim_wrapper, runner.train_loop
        for owner, name, part_name in (
            (detector.data_preprocessor, "forward", "data"),
            (detector, "_run_forward", "forward"),
            (wrapper, "backward", "backward"),
            (wrapper, "step", "optimizer"),
            (wrapper, "zero_grad", "optimizer"),
        ):
            setattr(owner, name, self._clock.time(part_name, getattr(owner, name)))
            self._undo.callback(delattr, owner, name)
        self._undo.callback(setattr, loop, "dataloader", loop.dataloader)
        loop.dataloader = _TimedLoader(loop.dataloader, self._clock)

    def after_train_iter(self, *_: Any, **__: Any) -> None:
        """Count the iteration."""
        self._clock.end_iteration()

    def after_run(self, _runner: Any) -> None:
        """Uncover everything."""
        self._undo.close()


class _TimedLoader:
    """A data loader whose waiting counts as data."""

    def __init__(self, loader: Any, clock: PartClock) -> None:
        self.loader, self._clock = loader, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        fetch = self._clock.time("data", lambda: next(batches, None))
        while (batch := fetch()) is not None:
            yield batch


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
