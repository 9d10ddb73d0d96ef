"""What one measured iteration gives: ledger records, and the residuals that vouch for them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fpnprobe.ledger import ConflictRecord, GradientRecord

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Residuals:
    """Relative residuals of the invariants; NaN where one was not measured.

    Attributes:
        loss: |L - sum_b L_b| / |L|.
        activation: Worst |g - sum_b g_b| / |g| over the taps.
        parameter: The same for the parameters of each stage.
        routes: Worst |g_b - sum over routes| / |g_b| over stage outputs and buckets.
    """

    loss: float = _NAN
    activation: float = _NAN
    parameter: float = _NAN
    routes: float = _NAN

    @property
    def gradient(self) -> float:
        """The worse of `activation` and `parameter`."""
        return worst((self.activation, self.parameter))

    @property
    def worst(self) -> float:
        """The worst of all."""
        return worst((self.loss, self.activation, self.parameter, self.routes))


def worst(values: Sequence[float]) -> float:
    """Largest value that is a number, or NaN.

    >>> worst([1e-7, float("nan"), 3e-7])
    3e-07
    """
    return max((value for value in values if not math.isnan(value)), default=_NAN)


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """One measured iteration.

    Attributes:
        iteration: 0-based training step.
        epoch: 0-based epoch.
        loss: L, as used in the step.
        values: L_b of each label.
        records: Rows for the ledger.
        conflicts: Rows for the conflict table.
        residuals: The invariants.
        finite: Whether every gradient was finite; if not, all records say `nonfinite`.
        passes: Extra backward passes made.
        seconds: Wall time they took.
    """

    iteration: int
    epoch: int
    loss: float
    values: Mapping[str, float]
    records: tuple[GradientRecord, ...]
    conflicts: tuple[ConflictRecord, ...]
    residuals: Residuals
    finite: bool
    passes: int = 0
    seconds: float = 0.0

    def timed(self, passes: int, seconds: float) -> "Sample":
        """Return the sample with its cost."""
        return replace(self, passes=passes, seconds=seconds)

    def __repr__(self) -> str:
        return (
            f"Sample(iteration {self.iteration}, loss {self.loss:.4g}, {len(self.records)} "
            f"records, worst residual {self.residuals.worst:.1e}, {self.passes} passes)"
        )
