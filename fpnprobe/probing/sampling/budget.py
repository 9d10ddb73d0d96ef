"""The interval between two probed steps that a budget allows."""

import math
from collections.abc import Callable

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.sampling.cost import Cost

_FIRST, _AGAIN = 3, 4  # steps until the first probed one, and on to the next, before an interval
_LEAST = 2  # steps: what is between two probed ones tells what a plain step takes


class Budget:
    """Chooses which steps to probe so that it takes at most a fraction of the training time.

    Two probed steps near the beginning show what one costs. From then on every `interval`-th
    iteration is probed, where the interval is the next larger of 2, 5, 10, 20, 50, ... so that
    runs on similar machines probe the same iterations. It follows the cost while that changes;
    it is never 1, since plain steps between the probed ones tell what a plain one takes.

    Args:
        fraction: Extra time allowed, relative to the time of plain steps.
        cost: What measures it.
        agree: Makes several processes use one interval: its own in, the common one out.

    >>> Budget(0.02).interval_for(step_s=0.5, extra_s=0.6)  # 0.6 / (0.02 * 0.5) = 60
    100
    """

    def __init__(
        self,
        fraction: float,
        *,
        cost: Cost | None = None,
        agree: Callable[[int], int] = lambda own: own,
    ) -> None:
        if not 0 < fraction < 1:
            raise FpnProbeError(f"budget {fraction}: expected a fraction, such as 0.02 for 2 %")
        self.fraction, self.cost, self._agree = fraction, cost or Cost(), agree
        self.interval: int | None = None
        self._next: int | None = None

    def begin(self, iteration: int) -> bool:
        """A step begins; return whether to probe it. Call it once for each iteration."""
        if self._next is None:
            self._next = (
                iteration + _FIRST if self.interval is None else self._next_on_grid(iteration)
            )
        probed = iteration >= self._next
        if self.cost.begin(probed=probed):
            interval = self.interval_for(step_s=self.cost.step_s, extra_s=self.cost.extra_s)
            self.interval = self._agree(interval)
            self._next = self._next_on_grid(iteration)
        elif probed:
            self._next = self._next_on_grid(iteration + 1) if self.interval else iteration + _AGAIN
        return probed

    def _next_on_grid(self, iteration: int) -> int:
        """The next iteration on the grid; near the beginning one more comes for calibration."""
        assert self.interval is not None
        if self.cost.samples == 1:
            return iteration + min(_AGAIN, self.interval)
        return -(-iteration // self.interval) * self.interval

    def interval_for(self, *, step_s: float, extra_s: float) -> int:
        """The next larger of 2, 5, 10, ... steps, for a step and a probe of these durations."""
        if math.isnan(extra_s):  # no plain step was between probed ones
            return max(self.interval or _AGAIN, _LEAST)
        least = max(extra_s / (self.fraction * step_s), float(_LEAST))
        power = int(10 ** math.floor(math.log10(least)))
        return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least)
