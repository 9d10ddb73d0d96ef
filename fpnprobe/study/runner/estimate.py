"""Estimates how long a study still takes, from what its cells have measured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

_START = 12.0  # seconds of CPU to import the frameworks and to build a model
_PER_IMAGE = 0.03  # seconds to evaluate an image of a small detector, until one was measured


@dataclass(frozen=True, slots=True)
class Remaining:
    """One cell: what is left of it and what it measured.

    Attributes:
        variant: Variant of the cell.
        iterations: Iterations left.
        per_iteration: Seconds per iteration measured by this cell, or None.
        tail: Seconds of evaluation measured, or None.
        started: Whether its process has started.
    """

    variant: str
    iterations: int
    per_iteration: float | None = None
    tail: float | None = None
    started: bool = False


def seconds_left(
    todo: Sequence[Remaining],
    *,
    jobs: int,
    images: int,
    known: Mapping[str, float] | None = None,
    tails: Iterable[float] = (),
) -> float | None:
    """Seconds until all cells are done, or None while no speed was measured.

    Args:
        todo: Cells not done, those that run first.
        jobs: Cells at the same time.
        images: Validation images of a cell.
        known: Seconds per iteration by variant, of cells that are done.
        tails: Seconds of evaluation of cells that are done.

    >>> seconds_left([Remaining("FPN", 100, 0.5, 8.0, True)], jobs=2, images=10)
    58.0
    """
    if not todo:
        return 0.0
    speeds = dict(known or {})
    for cell in todo:
        if cell.per_iteration is not None:
            speeds[cell.variant] = cell.per_iteration
    if not speeds:
        return None
    tail_times = [*tails, *(cell.tail for cell in todo if cell.tail is not None)]
    tail = mean(tail_times) if tail_times else images * _PER_IMAGE
    busy = [0.0] * max(1, jobs)
    for cell in todo:
        speed = speeds.get(cell.variant, max(speeds.values()))
        work = cell.iterations * speed + (cell.tail or tail) + (0.0 if cell.started else _START)
        busy.sort()
        busy[0] += work
    return max(busy)


def text(seconds: float | None) -> str:
    """A duration for a person.

    >>> text(None), text(8), text(100), text(9000)
    ('unknown time', 'under 15 s', 'about 2 min', 'about 2.5 h')
    """
    if seconds is None:
        return "unknown time"
    if seconds < 15:
        return "under 15 s"
    if seconds < 90:
        return f"about {round(seconds / 10) * 10} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"
