"""Decides which steps of a training are measured, and what becomes of the samples."""

from collections.abc import Sequence
from typing import Protocol

from fpnprobe.ledger import GradientRecord
from fpnprobe.probing.sample import Sample


class SamplingPolicy(Protocol):
    """The questions that an observer of training steps asks, and what it reports."""

    def begin_step(self) -> bool:
        """A step begins; return whether it is measured. Asked once for each step."""

    def is_audited(self) -> bool:
        """Tell whether the undivided gradient audits the sum of the buckets in the coming sample.

        Else it gives the largest bucket, which saves a pass.
        """

    def position(self) -> tuple[int, int]:
        """Iteration and epoch of the current step, 0-based."""

    def take_sample(self, sample: Sample) -> None:
        """Take a measured step."""

    def take_norms(self, records: Sequence[GradientRecord], seconds: float) -> None:
        """Take the stage norms of several steps, and the time that they took here."""

    def warn(self, sentence: str) -> None:
        """Take a sentence about what a user should know."""
