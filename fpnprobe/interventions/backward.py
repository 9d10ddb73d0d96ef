"""The training's backward pass with gains on chosen paths: exact, for any detector.

Gains on all rows ride on the ordinary backward pass, as factors on graph edges. Where a group b of
rows has gains of its own, one masked pass collects what the group sends over the edges of each
place before the gain, v_b(C_i, route), and the ordinary pass is given at C_i

    sum over b and routes of (gain_b - gain) v_b(C_i, route)

on top. The backward pass is linear, so the stages then receive the sum of all rows' gradients, each
with its own gains; and because it is still one ordinary backward pass into `.grad`, accumulation,
clipping, loss scaling and distributed averaging see nothing unusual.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fpnprobe.interventions.added_gradient import add_to_gradient
from fpnprobe.interventions.balance import Balance
from fpnprobe.interventions.edges import Place, ScaledEdges
from fpnprobe.interventions.intervention import Intervention
from fpnprobe.interventions.loss_rules import RuledBackward
from fpnprobe.interventions.masks import Factors, groups, masked
from fpnprobe.interventions.route_check import refuse_missing_routes
from fpnprobe.interventions.running_energies import RunningEnergies
from fpnprobe.probing.graph import Edge
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.closing import closed_for
from fpnprobe.probing.passes.reduction import Reduction
from fpnprobe.probing.passes.routes import route_edges
from fpnprobe.probing.taps import Tap


class IntervenedBackward:
    """Puts an intervention around backward passes; keeps the running energies of a `Balance`.

    Args:
        intervention: What is changed.

    Attributes:
        reduction: How energies of several processes are joined.
    """

    def __init__(self, intervention: Intervention) -> None:
        self.intervention = intervention
        self._energies = RunningEnergies(intervention.balance)
        self.reduction = Reduction()
        self._ruled = RuledBackward(intervention.rule) if intervention.rule else None

    @property
    def energy(self) -> dict[str, npt.NDArray[np.float64]]:
        """The running squared norms after the last step; waits until that has been computed."""
        return self._energies.after_last_step()

    @contextmanager
    def around(
        self,
        loss: Tensor,
        partition: LossPartition,
        taps: Sequence[Tap],
        *,
        iteration: int,
        factor: float = 1.0,
        auxiliary: Sequence[Tensor] = (),
        parameters: Sequence[nn.Parameter] = (),
    ) -> Iterator[None]:
        """Inside, one backward pass of `factor * loss` is the intervened one.

        Args:
            loss: The scalar loss; its graph is kept until the pass inside.
            partition: The same loss as labeled rows.
            taps: Stage outputs of this forward pass.
            iteration: 0-based training step.
            factor: What the pass inside multiplies the loss by: accumulation, loss scale.
            auxiliary: Tensors made by auxiliary heads.
            parameters: Parameters that are trained, for a loss rule.

        Raises:
            FpnProbeError: If a stage is frozen, or has no such route, bucket or term.
        """
        self.intervention.check(partition.labels, partition.terms)
        features = {tap.name: tap.activation for tap in taps if tap.routed}
        auxiliary_tensors = (*auxiliary, *partition.auxiliary_losses())
        edges, _ = route_edges(
            loss, {n: f for n, f in features.items() if f is not None}, auxiliary=auxiliary_tensors
        )
        refuse_missing_routes(self.intervention, features, edges)
        gains = [gain for gain in self.intervention.gains if gain.acts(iteration)]
        moving = self._energies.gains(iteration)
        base, differing = groups(gains, partition.labels, partition.terms, moving)
        extra: dict[str, Tensor] = {}
        if differing or self.intervention.balance:
            extra = self._collect_corrections(
                loss, partition, features, edges, base, differing, factor
            )
        with ExitStack() as undo:
            if self._ruled is not None:
                self._ruled.reduction = self.reduction
                ruled = self._ruled.around(
                    loss, partition, parameters, iteration=iteration, factor=factor
                )
                undo.enter_context(ruled)
            undo.enter_context(ScaledEdges(edges, base))
            for name, addition in extra.items():
                undo.callback(add_to_gradient(features[name], addition).remove)
            yield

    def _collect_corrections(
        self,
        loss: Tensor,
        partition: LossPartition,
        features: Mapping[str, Tensor | None],
        edges: Mapping[Place, list[Edge]],
        base: Factors,
        differing: Sequence[tuple[Factors, frozenset[tuple[int, str]]]],
        factor: float,
    ) -> dict[str, Tensor]:
        """Compute what each stage output is given on top, by one masked pass for each group."""
        cotangents, _ = partition.cotangents(loss, scale=factor)
        extra: dict[str, Tensor] = {}

        def sent(
            factors: Factors, rows: frozenset[tuple[int, str]], places: frozenset[Place]
        ) -> dict[Place, Tensor]:
            stages = {stage for stage, _ in places}
            inputs = [t for n, t in features.items() if n in stages and t is not None]
            with ScaledEdges(edges, factors, places) as scaled:
                outputs, starts = masked(cotangents, rows)
                if outputs:
                    with closed_for(cotangents, outputs):
                        torch.autograd.grad(
                            outputs, inputs, starts, retain_graph=True, allow_unused=True
                        )
            return scaled.collected

        sent_by_rows: dict[frozenset[tuple[int, str]], dict[Place, Tensor]] = {}
        for factors, rows in differing:
            places = frozenset(p for p in factors if factors[p] != base.get(p, 1.0))
            sent_by_rows[rows] = sent(factors, rows, places)
            for stage_route, gradient in sent_by_rows[rows].items():
                correction = gradient * (factors[stage_route] - base.get(stage_route, 1.0))
                before = extra.get(stage_route[0])
                extra[stage_route[0]] = correction if before is None else before + correction
        if self.intervention.balance is not None:
            balance = self.intervention.balance
            self._record_energies(balance, partition, sent, sent_by_rows, factor, loss.device)
        return extra

    def _record_energies(
        self,
        balance: Balance,
        partition: LossPartition,
        sent: Any,
        sent_by_rows: Any,
        factor: float,
        device: torch.device,
    ) -> None:
        """Take this step's squared norm of every bucket into the running means."""
        places = frozenset((stage, balance.route) for stage in balance.stages)
        none = torch.zeros((), dtype=torch.float64, device=device)
        energies = [[none] * len(partition.buckets) for _ in balance.stages]
        for label in range(len(partition.buckets)):
            rows = frozenset((label, term) for term in partition.terms)
            gradients = sent_by_rows[rows] if rows in sent_by_rows else sent({}, rows, places)
            for i, stage in enumerate(balance.stages):
                gradient = gradients.get((stage, balance.route))
                if gradient is not None:
                    energies[i][label] = (gradient.detach().double() / factor).square().sum()
        stacked = torch.stack([torch.stack(row) for row in energies])  # (stages, buckets)
        self._energies.add_step(self.reduction.sum(stacked))

    def state_dict(self) -> dict[str, list[float]]:
        """Return the running energies, or what a rule has learned, for a resumed training."""
        if self._ruled is not None:
            return self._ruled.state_dict()
        return {stage: energy.tolist() for stage, energy in self.energy.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Go on from `state_dict`."""
        if self._ruled is not None:
            self._ruled.load_state_dict(state)
            return
        self._energies.load(state)
