"""The sampling policy of a benchmark: every step alike, and nothing is kept."""

from collections.abc import Sequence

from fpnprobe.ledger import GradientRecord
from fpnprobe.probing.sample import Sample


class BenchPolicy:
    """The `SamplingPolicy` of a benchmark.

    Args:
        measured: Whether the steps are measured.
        audited: Whether the undivided gradient audits every sample.
        start: Number of the first iteration.
    """

    def __init__(self, *, measured: bool, audited: bool = False, start: int = 0) -> None:
        self._measured, self._audited, self._iteration = measured, audited, start - 1

    def begin_step(self) -> bool:
        """Count the step; return whether steps are measured."""
        self._iteration += 1
        return self._measured

    def is_audited(self) -> bool:
        """Whether every sample is audited."""
        return self._audited

    def position(self) -> tuple[int, int]:
        """The current iteration, of epoch 0."""
        return self._iteration, 0

    def take_sample(self, sample: Sample) -> None:
        """Drop the sample."""

    def take_norms(self, records: Sequence[GradientRecord], seconds: float) -> None:
        """Drop the norms."""

    def warn(self, sentence: str) -> None:
        """Drop the sentence."""
