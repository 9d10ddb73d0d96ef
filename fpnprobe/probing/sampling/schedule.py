"""Schedules of the iterations that are measured."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every `interval`-th iteration, or the given iterations (0-based).

    >>> [i for i in range(10) if Schedule(interval=4).due(i)]
    [0, 4, 8]
    >>> sorted(Schedule.log_spaced(6, last=1000).iterations)
    [0, 3, 15, 62, 250, 1000]
    >>> Schedule.of([3, 5]).due(5), Schedule.of({"log": 4, "last": 100}).due(100)
    (True, True)
    """

    interval: int | None = None
    iterations: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.interval is None and not self.iterations:
            raise FpnProbeError("an empty schedule measures nothing: give an interval of 1 or more")
        if self.interval is not None and self.interval < 1:
            raise FpnProbeError(f"interval {self.interval}: expected 1 or more iterations")
        if any(i < 0 for i in self.iterations):
            raise FpnProbeError("a scheduled iteration is negative; iterations count from 0")

    @classmethod
    def log_spaced(cls, count: int, *, last: int) -> "Schedule":
        """Return at most `count` iterations from 0 to `last`, evenly spaced in log(1 + iteration).

        Those that round to the same iteration are one.

        >>> len(Schedule.log_spaced(20, last=10).iterations)
        11
        """
        if count < 2 or last < 1:
            raise FpnProbeError(
                f"log-spaced schedule of {count} iterations up to {last}: expected at least 2 "
                "iterations and last >= 1"
            )
        steps = (1 + last) ** (1 / (count - 1))
        return cls(iterations=frozenset(round(steps**i - 1) for i in range(count)))

    @classmethod
    def of(cls, value: "Schedule | int | Iterable[int] | Mapping[str, Any]") -> "Schedule":
        """Coerce an interval, a list of iterations, or `{"log": count, "last": iteration}`.

        Raises:
            FpnProbeError: For anything else.
        """
        if isinstance(value, Schedule):
            return value
        if isinstance(value, Mapping) and {*value} == {"log", "last"}:
            return cls.log_spaced(int(value["log"]), last=int(value["last"]))
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(interval=value)
        if isinstance(value, (list, tuple, set, frozenset, range)) and all(
            isinstance(i, int) for i in value
        ):
            return cls(iterations=frozenset(value))
        raise FpnProbeError(
            f"schedule {value!r}: expected an interval (50), a list of iterations ([0, 10, 100]) "
            'or {"log": 20, "last": 12000}'
        )

    def due(self, iteration: int) -> bool:
        """Tell whether the 0-based iteration is measured."""
        if self.interval is not None:
            return iteration % self.interval == 0
        return iteration in self.iterations
