"""Rules that weigh the losses of small, medium and large objects against each other, by name.

What others do about objects of unequal size, with the paper's pyramid left as it is:

- `LogArea`: each object's loss times the logarithm of its area (Ben Saad, Facciolo and Davy, "On
  the Importance of Large Objects in CNN Based Object Detection Algorithms", WACV 2024). The area is
  the annotation's; weights are divided by their mean over the batch's objects (ours).
- `UW`: each bucket is a task with a learned uncertainty, sum_b exp(-s_b) L_b + s_b (Kendall, Gal
  and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses", CVPR 2018, with its log
  variance s). s_b starts at 0 and descends by steps of its own (ours: 0.01).
- `PCGrad`: of each pair of bucket gradients that conflict, each loses its projection on the other
  (Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020).

Background keeps its loss. The forward pass and the logged loss are those of the plain training, and
so is the ledger: it holds the gradients before the rule.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions.added_gradient import add_to_gradient
from fpnprobe.interventions.gradient_surgery import surgery_changes
from fpnprobe.interventions.intervention import LossRule
from fpnprobe.interventions.row_gradients import gradients_of_rows
from fpnprobe.probing.calls import LossCall, RowCotangents
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.reduction import Reduction

_RATE = 0.01  # of the steps of s in UW
_SMALLEST = math.e  # px^2: the logarithm of a smaller area counts as 1


class RuledBackward:
    """Puts a loss rule around backward passes.

    One extra pass collects what the rule changes at each parameter (PCGrad: one for each bucket),
    and the ordinary pass adds it, so that accumulation, clipping, loss scaling and distributed
    averaging see nothing unusual. Each process applies the rule to its own images.

    Args:
        rule: Name of the rule.

    Attributes:
        log_variances: The s of UW, by bucket.
        reduction: How the losses of several processes are joined, for UW.
    """

    def __init__(self, rule: LossRule) -> None:
        self.rule: LossRule = rule
        self.log_variances: dict[str, float] = {}
        self.reduction = Reduction()

    @contextmanager
    def around(
        self,
        loss: Tensor,
        partition: LossPartition,
        parameters: Sequence[nn.Parameter],
        *,
        iteration: int,
        factor: float = 1.0,
    ) -> Iterator[None]:
        """Inside, one backward pass of `factor * loss` follows the rule.

        Args:
            loss: The scalar loss; its graph is kept until the pass inside.
            partition: The same loss as labeled rows.
            parameters: Parameters that are trained.
            iteration: 0-based training step.
            factor: What the pass inside multiplies the loss by: accumulation, loss scale.
        """
        cotangents, values = partition.cotangents(loss, scale=factor)
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if self.rule == "PCGrad":
            changes = surgery_changes(cotangents, trained, len(partition.buckets), seed=iteration)
        else:
            changes = gradients_of_rows(
                *self._weigh_rows(cotangents, values, partition), cotangents, trained
            )
        with ExitStack() as undo:
            for parameter, change in zip(trained, changes, strict=True):
                if change is not None:
                    undo.callback(add_to_gradient(parameter, change).remove)
            yield

    def _weigh_rows(
        self, cotangents: Sequence[RowCotangents], values: Tensor, partition: LossPartition
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the rows and their cotangents times (weight - 1)."""
        if self.rule == "UW":
            by_label = self._uncertainty_weights(values, partition)
        rows, starts = [], []
        for row_cotangents in cotangents:
            call, c = row_cotangents.call, row_cotangents.cotangent
            if self.rule == "UW":
                labeled = call.labels >= 0
                weights = torch.where(labeled, by_label.to(c)[call.labels.clamp(min=0)], 1.0)
            else:
                weights = _area_weights(call, partition).to(c)
            shape = (*weights.shape, *[1] * (c.dim() - weights.dim())) if c.dim() else ()
            rows.append(call.rows)
            starts.append(c * (weights - 1).reshape(shape))
        return rows, starts

    def _uncertainty_weights(self, values: Tensor, partition: LossPartition) -> Tensor:
        """exp(-s_b) of this step, and a step of s towards its optimum ln(L_b)."""
        names = partition.labels[:-1]
        before = [self.log_variances.get(name, 0.0) for name in names]
        shared = self.reduction.sum(values) / self.reduction.processes
        for name, s, value in zip(names, before, shared.tolist(), strict=False):
            # d/ds of exp(-s) L + s, which is 0 at s = ln L.
            slope = 1 - math.exp(-s) * value
            if value > 0 and math.isfinite(slope):
                self.log_variances[name] = s - _RATE * slope
        return torch.tensor([*(math.exp(-s) for s in before), 1.0])

    def state_dict(self) -> dict[str, list[float]]:
        """Return the learned log variances, for a resumed training."""
        return {name: [s] for name, s in self.log_variances.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Go on from `state_dict`."""
        self.log_variances = {name: float(value[0]) for name, value in state.items()}


def _area_weights(call: LossCall, partition: LossPartition) -> Tensor:
    """Weigh each row by the logarithm of its object's area over the mean of all; 1 without."""
    if call.objects is None or partition.areas is None:
        raise FpnProbeError(
            f"LogArea: the rows of {call.name} do not tell their objects: use a detector whose "
            "heads have an adapter (fpnprobe.mm.adapters), or leave the rule out"
        )
    raw = partition.areas.to(call.objects.device).clamp(min=_SMALLEST).log()
    relative = raw / raw.mean() if len(raw) else raw
    weights = relative.new_ones(call.objects.shape)
    weights[call.objects >= 0] = relative[call.objects[call.objects >= 0]]
    return weights
