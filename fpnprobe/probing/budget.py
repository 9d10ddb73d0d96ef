"""A probe that measures its own cost, and measures as often as it may."""

from dataclasses import dataclass, field
from statistics import median

from fpnprobe.errors import FpnProbeError


@dataclass(slots=True)
class Budget:
    """Sets the interval so that probing costs at most `limit` of the training time.

    With t seconds a step and p seconds a probe, both running medians, the next probe is due
    ceil(p / (limit * t)) iterations after the last one.

    Attributes:
        limit: Largest relative cost, such as 0.02.
        least: Smallest interval, in iterations.

    >>> budget = Budget(0.02)
    >>> for _ in range(5):
    ...     budget.step(0.1)
    >>> budget.probe(0.3)
    >>> budget.interval
    150
    >>> round(budget.cost, 3)
    0.6
    """

    limit: float
    least: int = 1
    _steps: list[float] = field(default_factory=list)
    _probes: list[float] = field(default_factory=list)
    _spent: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not 0 < self.limit <= 1:
            raise FpnProbeError(
                f"budget {self.limit}: expected a fraction of the training time in (0, 1], "
                "such as 0.02"
            )

    def step(self, seconds: float) -> None:
        """Take the time of one training step, without the probe's own."""
        self._steps = [*self._steps[-49:], seconds]
        self._spent = self._spent[0] + seconds, self._spent[1]

    def probe(self, seconds: float) -> None:
        """Take the time of one measurement."""
        self._probes = [*self._probes[-9:], seconds]
        self._spent = self._spent[0], self._spent[1] + seconds

    @property
    def interval(self) -> int:
        """Iterations between two measurements, from the times so far."""
        if not self._steps or not self._probes:
            return self.least
        seconds = median(self._probes) / (self.limit * max(median(self._steps), 1e-9))
        return max(self.least, -int(-seconds // 1))

    @property
    def cost(self) -> float:
        """Time spent on probing over time spent on training, so far."""
        return self._spent[1] / self._spent[0] if self._spent[0] else 0.0
