"""The keeper of a training: it reports, saves the state in time, and stops cleanly."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, get_rank, is_distributed

from fpnprobe.errors import FpnProbeError, NonFiniteLoss
from fpnprobe.mm.training.saved import checkpoint

_AGREE_EVERY = 10  # passes between two agreements of several processes
_LEAST_INTERVAL = 60.0  # seconds between two saved states that nobody has set


class Stopped(Exception):
    """Training was asked to stop; its state is saved."""


class Keeper:
    """Reports the progress of a training, saves its state in time, and stops it when asked.

    Args:
        folder: Checkpoint folder of the cell.
        key: Key of the cell; a state of another key is not loaded.
        every: Seconds from one saved state to the next; None for what `share` allows, but at
            least a minute.
        share: Largest part of the training time that saving may take.
        report: Called after each pass with (finished passes, seconds of training, loss or None).
        stop: Whether to stop now.
    """

    def __init__(
        self,
        folder: Path,
        *,
        key: str,
        every: float | None,
        share: float = 0.01,
        report: Callable[[int, float, float | None], None],
        stop: Callable[[], bool],
    ) -> None:
        self.path = folder / checkpoint.RESUME
        self.key, self.report, self.stop = key, report, stop
        self._every, self._share = every, share
        self._cost = 0.0  # seconds that the last saved state took
        self.state: dict[str, Any] | None = None
        self._before = 0.0
        self._begin = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time so far, over all attempts."""
        return self._before + time.monotonic() - self._begin

    @property
    def interval(self) -> float:
        """Seconds from one saved state to the next: two gigabytes every minute are too much."""
        if self._every is not None:
            return self._every
        return max(_LEAST_INTERVAL, self._cost * (1 / self._share - 1))

    def load(self, runner: Any) -> int:
        """Load the saved state, if there is one; return the pass to go on with."""
        if not self.path.is_file():
            return 0
        self.state = checkpoint.read(self.path)
        if self.state.get("key") != self.key:
            raise FpnProbeError(
                f"{self.path} is the state of other settings: run with --fresh to begin again"
            )
        checkpoint.restore(self.state, runner)
        self._before = float(self.state["seconds"])
        return int(self.state["iteration"])

    def begin(self) -> None:
        """Called at the last moment before the first pass."""
        if self.state is not None:
            states = self.state["random"]
            checkpoint.restore_random_states(states[get_rank() % len(states)])
            self.state = None
        self._begin = self._saved = time.monotonic()

    def after_pass(self, runner: Any, *, done: int, accumulate: int, last: bool) -> None:
        """Report, save if it is time, stop if asked to."""
        stop, save = (False, False) if done % accumulate or last else self._agreed(done)
        loop = runner.train_loop
        loss = loop.last_loss
        if loss is None and (stop or save or last):  # weights that are not finite are not kept
            loss = float(loop.loss)
        if loss is not None and not math.isfinite(loss):
            raise NonFiniteLoss(f"loss is {loss} at iteration {(done - 1) // accumulate}")
        self.report(done, self.seconds, loss)
        if stop or save:
            for hook in runner.hooks:
                if hasattr(hook, "flush"):
                    hook.flush()
            began = time.monotonic()
            checkpoint.save(self.path, runner, key=self.key, iteration=done, seconds=self.seconds)
            self._saved = time.monotonic()
            self._cost = self._saved - began
        if stop:
            raise Stopped

    def _agreed(self, passes: int) -> tuple[bool, bool]:
        wish = [self.stop(), time.monotonic() - self._saved >= self.interval]
        if is_distributed():
            if passes % _AGREE_EVERY:
                return False, False
            broadcast_object_list(wish)
        return wish[0], wish[1]
