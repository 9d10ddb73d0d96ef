"""Measures the cost of probing while it runs."""

import math
import time
from collections.abc import Callable, Mapping
from statistics import median

_KEPT = 8  # recent measurements that the medians look at: a slow beginning is soon forgotten


class Cost:
    """Durations of plain and of probed steps, without a clock or a wait in plain steps.

    The first step is not counted: it warms up. Medians are over stretches of steps, so that a
    validation between two steps does not count either.

    Args:
        wait: Waits until the device has finished, such as `torch.cuda.synchronize`; called only
            where a probed step begins or has just ended.
        clock: Gives seconds.

    Four plain steps in 4 s, a probed one in 3 s:

    >>> now = iter([0.0, 4.0, 7.0])
    >>> cost = Cost(clock=lambda: next(now))
    >>> for probed in (False, False, False, False, False, True, False):
    ...     _ = cost.begin(probed=probed)
    >>> cost.step_s, cost.extra_s, cost.samples
    (1.0, 2.0, 1)
    """

    def __init__(
        self,
        *,
        wait: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.wait, self._clock = wait, clock
        self._mark_time: float | None = None
        self._steps_since_mark = self._steps_begun = 0
        self._probed = False
        self._plain_step_times: list[float] = []
        self._probed_step_times: list[float] = []
        self._spent_s = 0.0
        self.samples = self.steps = 0

    def begin(self, *, probed: bool) -> bool:
        """A step begins and the one before it ends; return whether that one was measured."""
        measured = self._probed and self._mark_time is not None
        if self._steps_begun == 1 or (self._steps_begun > 1 and (probed or self._probed)):
            self._read_times()
        self._steps_begun += 1
        self._steps_since_mark += 1
        self._probed = probed
        self.steps += 1
        self.samples += probed
        return measured

    def _read_times(self) -> None:
        self.wait()
        now = self._clock()
        if self._mark_time is not None:
            times = self._probed_step_times if self._probed else self._plain_step_times
            times.append((now - self._mark_time) / self._steps_since_mark)
            del times[:-_KEPT]
            if self._probed and self._plain_step_times:
                self._spent_s += max(times[-1] - self.step_s, 0.0)
        self._mark_time, self._steps_since_mark = now, 0

    @property
    def step_s(self) -> float:
        """Seconds of a plain step; NaN before any was measured."""
        return median(self._plain_step_times) if self._plain_step_times else math.nan

    @property
    def extra_s(self) -> float:
        """Seconds that a probed step takes more; NaN before any was measured."""
        # The first probed step builds what later ones use again.
        usual = self._probed_step_times[1:] or self._probed_step_times
        return (
            max(median(usual) - self.step_s, 0.0) if usual and self._plain_step_times else math.nan
        )

    @property
    def fraction(self) -> float:
        """Time spent on probing relative to the plain time of all steps; NaN if not measured."""
        return self._spent_s / (self.steps * self.step_s) if self.samples else 0.0

    def state_dict(self) -> dict[str, float]:
        """Return the state that a resumed run goes on from."""
        return {"samples": self.samples, "steps": self.steps, "spent_s": self._spent_s}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from `state_dict`."""
        self.samples, self.steps = int(state["samples"]), int(state["steps"])
        self._spent_s = state["spent_s"]
