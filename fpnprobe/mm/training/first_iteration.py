"""Tells how long the first iteration took: mmengine says nothing until its interval is over."""

import time
from typing import Any

from mmengine.hooks import Hook, LoggerHook


class FirstIteration(Hook):
    """One line after the first iteration, with when the log's next line comes."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self._begun: float | None = None
        self._told = False

    @property
    def has_begun(self) -> bool:
        """Whether an iteration was begun."""
        return self._begun is not None

    def before_train_iter(self, _runner: Any, **_: Any) -> None:
        """Start the clock."""
        self._begun = time.monotonic()

    def after_train_iter(self, runner: Any, **_: Any) -> None:
        """Tell it, once in a process."""
        if self._told or self._begun is None:
            return
        self._told = True
        interval = next((h.interval for h in runner.hooks if isinstance(h, LoggerHook)), 0)
        following = f"; a line of the log every {interval}" if interval > 1 else ""
        runner.logger.info(
            f"iteration {runner.iter + 1} of {runner.max_iters} took "
            f"{time.monotonic() - self._begun:.1f} s{following}"
        )
