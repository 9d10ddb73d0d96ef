"""The probe: turns a partition and taps into ledger records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.measurement import Measurement
from fpnprobe.probing.passes.measurement_plan import MeasurementPlan
from fpnprobe.probing.passes.reduction import Reduction
from fpnprobe.probing.sample import Sample
from fpnprobe.probing.step_context import StepContext
from fpnprobe.probing.taps import Tap

Mode = Literal["routes", "full"]
Terms = Literal["none", "loss", "level", "both"]
_ALONE = StepContext()  # a loss that belongs to no training


@dataclass(frozen=True, slots=True)
class Probe:
    """The settings of a measurement: kinds of gradient, routes, terms.

    Attributes:
        mode: `routes`: activation gradients by bucket and route. `full`: also parameter gradients
            by bucket, and the cosines between buckets.
        terms: Split further by loss term, by pyramid level, or both; one more pass for each
            bucket of each term.
        derive: Make K - 1 passes for K labels and derive the largest bucket from the undivided
            gradient; that sample has no gradient residual.
        reduction: How numbers of several processes are joined.
        conflict: Where mode `full` takes cosines: `all`, or at the parameters alone, which needs
            much less memory.
        audit: How the sum of the buckets is compared with the undivided gradient: `exact`, or by a
            `sketch` 64 times shorter, which keeps no gradient in memory.
        derived: Number of the label to derive, see `steadiest`; -1 for the one with the most
            cotangent energy at the predictions.

    >>> import torch
    >>> c2 = torch.ones(1, 3, requires_grad=True) * 1
    >>> rows = (c2 * torch.tensor([3.0, 4.0, 12.0])).squeeze(0)
    >>> partition = LossPartition()
    >>> partition.add_rows(rows, torch.tensor([0, 0, 2]))
    >>> sample = Probe().measure(rows.sum(), partition, [Tap("C2", 2, c2, routed=True)])
    >>> {r.bucket: r.l2 for r in sample.records if r.route == "total"}
    {'small': 5.0, 'medium': 0.0, 'large': 12.0, 'background': 0.0, 'all': 13.0}
    >>> sample.residuals.worst
    0.0
    """

    mode: Mode = "routes"
    terms: Terms = "none"
    derive: bool = False
    reduction: Reduction | None = None
    conflict: Literal["parameter", "all"] = "all"
    audit: Literal["exact", "sketch"] = "exact"
    derived: int = -1

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("mode", self.mode, get_args(Mode)),
            ("terms", self.terms, get_args(Terms)),
        ):
            if value not in allowed:
                raise FpnProbeError(f"{name} {value!r}: expected one of {', '.join(allowed)}")

    def begin(
        self,
        loss: Tensor,
        partition: LossPartition,
        taps: Sequence[Tap],
        step: StepContext = _ALONE,
    ) -> Measurement:
        """Start a measurement whose undivided gradient the training's own backward pass gives.

        Args:
            loss: The scalar loss of this forward pass; its graph is kept.
            partition: The same loss as labeled rows.
            taps: Stage outputs and pyramid levels of this forward pass.
            step: The training step.
        """
        terms: list[str] = []
        if self.terms in ("loss", "both"):
            terms += partition.terms
        if self.terms in ("level", "both"):
            terms += partition.level_terms()
        plan = MeasurementPlan(
            parameters=self.mode == "full",
            conflict=self.conflict if self.mode == "full" else "none",
            terms=tuple(terms),
            derive=self.derive,
            derived=self.derived,
            audit=self.audit,
            reduction=self.reduction or Reduction(),
        )
        return Measurement(loss, partition, taps, plan, step)

    def measure(
        self,
        loss: Tensor,
        partition: LossPartition,
        taps: Sequence[Tap],
        step: StepContext = _ALONE,
    ) -> Sample:
        """Measure at once: as `begin`, with one more pass for the undivided gradient."""
        with self.begin(loss, partition, taps, step) as measurement:
            measurement.run()
            measurement.total_now()
            return measurement.finish()
