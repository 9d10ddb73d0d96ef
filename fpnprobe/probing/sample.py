"""A sample: the ledger records of one iteration, and the residuals that vouch for them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fpnprobe.ledger import ConflictRecord, GradientRecord
from fpnprobe.probing.soundness.verdict import Verdict, judge

_NAN = float("nan")
_USABLE = ("measured", "would_arrive")


@dataclass(frozen=True, slots=True)
class Residuals:
    """Relative residuals of the invariants; NaN where one was not measured.

    Attributes:
        loss: |L - sum_b L_b| / |L|; not measured where a part of the loss flows beside all labeled
            rows (`Sample.unlabeled`): it would be 0 by construction.
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

    def judge(self, arithmetic: str, *, tolerance: float | None = None) -> Verdict:
        """Hold them against the tolerance of an arithmetic, or a given one."""
        named_residuals = [(name, getattr(self, name)) for name in self.__slots__]
        return judge(named_residuals, arithmetic, tolerance=tolerance)


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
        gradients: Every gradient in the state it has where the sample is sound; see `records`.
        cosines: Cosines between the gradients of two buckets; see `conflicts`.
        residuals: The invariants.
        finite: Whether every gradient was finite; if not, all records say `nonfinite`.
        verdict: Whether the invariants hold; where they do not, all records say `unsound`.
        passes: Extra backward passes made.
        seconds: Wall time they took.
        unlabeled: Share of the loss that flows beside all labeled rows and counts as background.
    """

    iteration: int
    epoch: int
    loss: float
    values: Mapping[str, float]
    gradients: tuple[GradientRecord, ...]
    cosines: tuple[ConflictRecord, ...]
    residuals: Residuals
    finite: bool
    verdict: Verdict = field(default_factory=Verdict)
    passes: int = 0
    seconds: float = 0.0
    unlabeled: float = 0.0

    def timed(self, passes: int, seconds: float) -> "Sample":
        """Return the sample with its cost."""
        return replace(self, passes=passes, seconds=seconds)

    @property
    def sound(self) -> bool:
        """Whether its numbers may be used."""
        return self.finite and self.verdict.sound

    @property
    def records(self) -> tuple[GradientRecord, ...]:
        """Rows for the ledger; `unsound` where the verdict is, if they could be used else."""
        if self.verdict.sound:
            return self.gradients
        return tuple(
            replace(r, state="unsound") if r.state in _USABLE else r for r in self.gradients
        )

    @property
    def conflicts(self) -> tuple[ConflictRecord, ...]:
        """Rows for the conflict table, which has no state: none unless the sample is sound."""
        return self.cosines if self.sound else ()

    @property
    def underflows(self) -> list[str]:
        """Tap and bucket of every gradient that half precision could not hold."""
        return [f"{r.bucket} at {r.tap}" for r in self.records if r.state == "underflow"]

    def judged(self, verdict: Verdict) -> "Sample":
        """Return the sample under another verdict, which `records` and `conflicts` then tell."""
        return replace(self, verdict=verdict)

    def __repr__(self) -> str:
        return (
            f"Sample(iteration {self.iteration}, loss {self.loss:.4g}, {len(self.records)} "
            f"records, worst residual {self.residuals.worst:.1e}, {self.passes} passes)"
        )


def steadiest(sample: Sample) -> int:
    """Number of the label that is best derived: the one whose gradient is nowhere small.

    A derived bucket has the rounding of the undivided gradient. So it should be the label whose
    least part of it, over the taps, is the largest: not the one that is largest at the predictions,
    of which little may reach the stages (the background of FSAF).
    """
    total: dict[tuple[str, str], float] = {}
    parts_by_label: dict[str, list[float]] = {}
    whole = [r for r in sample.records if (r.route, r.term) == ("total", "all")]
    for record in whole:
        if record.bucket == "all":
            total[record.tap, record.kind] = record.l2
    for record in whole:
        size = total.get((record.tap, record.kind), 0.0)
        if record.bucket != "all" and record.tap.startswith("C") and size > 0:
            parts_by_label.setdefault(record.bucket, []).append(record.l2 / size)
    labels = list(sample.values)
    least = [min(parts_by_label.get(label, [0.0])) for label in labels]
    return least.index(max(least))
