"""The plan of one measurement, and how each gradient's sum over buckets is checked."""

from dataclasses import dataclass, field
from typing import Literal

from fpnprobe.probing.passes.gradient_key import GradientKey
from fpnprobe.probing.passes.moments import Compare
from fpnprobe.probing.passes.reduction import Reduction


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPlan:
    """The plan of one measurement; made by `Probe.begin`, whose attributes say what it means.

    Attributes:
        parameters: Whether the stages' parameters are read beside the activations.
        conflict: Where cosines between labels are taken.
        terms: Loss terms and levels that are measured beside the whole.
        derive: Whether one label is derived from the undivided gradient.
        derived: Which one; -1 for the one with the most cotangent energy.
        audit: How the sum of the labels is compared with the undivided gradient.
        reduction: How numbers of several processes are joined.
    """

    parameters: bool = False
    conflict: Literal["none", "parameter", "all"] = "none"
    terms: tuple[str, ...] = ()
    derive: bool = False
    derived: int = -1
    audit: Literal["exact", "sketch"] = "exact"
    reduction: Reduction = field(default_factory=Reduction)


def choose_comparison(
    key: GradientKey, *, exact: bool, derive: bool, has_split_exits: bool
) -> Compare:
    """Choose how a place's buckets are compared with its undivided gradient."""
    if key.route == "total":
        return "exact" if exact else "sketch"
    # Only a derived bucket needs sums by route; `deeper` then follows from the others.
    return "exact" if has_split_exits or (derive and key.route != "deeper") else "nothing"
