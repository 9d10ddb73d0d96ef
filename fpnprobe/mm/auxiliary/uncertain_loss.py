"""A loss of mmdet with an uncertainty for each of its rows (Eq. 10)."""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fpnprobe.methods import UncertaintyOptions as Options
from fpnprobe.methods import weigh_rows
from fpnprobe.probing import LossRows

# mmdet divides by the average factor plus this, against a division by zero.
_EPSILON = torch.finfo(torch.float32).eps

Part = Literal["classification", "regression"]
Later = Literal["nothing", "weights", "objects"]


@dataclass(slots=True)
class HeadScores:
    """The uncertainty scores that the losses of one head share during one forward pass.

    Attributes:
        scores: W . x + b of every prediction (Eq. 11), (N,), for each part of the loss.
        objects: Which predictions are of objects, (N,) bool, known from the classification call.
        weighed_parts: Parts whose uncertainty has entered a loss.
        alpha: For each part, -ln of what is left of the loss: the mean damping of what is learned.
    """

    scores: dict[Part, Tensor] = field(default_factory=dict)
    objects: Tensor | None = None
    weighed_parts: set[Part] = field(default_factory=set)
    alpha: dict[Part, Tensor] = field(default_factory=dict)

    def take(self, loss_part: Part, count: int) -> Tensor:
        """Take the scores of the `count` rows of a loss call: all rows, or those of objects."""
        self.weighed_parts.add(loss_part)
        scores = self.scores[loss_part]
        return scores if len(scores) == count or self.objects is None else scores[self.objects]

    def weigh(
        self, loss_part: Part, rows: Tensor, scores: Tensor, *, factors: Tensor, options: Options
    ) -> Tensor:
        """Weigh rows as `weigh_rows` does, and note the `alpha` of their part."""
        weighed = weigh_rows(rows, scores, factors=factors, options=options)
        self.alpha[loss_part] = weighed.alpha
        return weighed.rows


class UncertainLoss(nn.Module):
    """exp(-a) L^ + tau a in the place of a loss module L^ of a head.

    A call on the rows of objects alone takes their uncertainties. The rows pass through `self.rows`
    unreduced, so that the probe can tell whose they are.

    Args:
        inner: The loss module L^.
        part: Which of the head's losses this is.
        options: Tau, and what the paper leaves open.
        classes: Number of classes; higher labels are background.
        later: What the head divides the result by afterwards, so that the loss of a level is the
            one that is logged: `nothing`, the sum of the `weights` (ATSS boxes), or the number of
            rows of `objects` (FSAF).
        shared: What the losses of one head share.
    """

    def __init__(
        self,
        inner: nn.Module,
        *,
        part: Part,
        options: Options,
        classes: int,
        shared: HeadScores,
        later: Later = "nothing",
    ) -> None:
        super().__init__()
        self.inner = inner
        self.part: Part = part
        self.options = options
        self.classes = classes
        self.later = later
        self.rows = LossRows()
        self._shared = shared

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        **options: Any,
    ) -> Tensor:
        """The loss; shapes, weights and reduction are those of the inner loss."""
        if self.part == "classification":
            self._shared.objects = (target >= 0) & (target < self.classes)
        unreduced = self.inner(pred, target, weight, reduction_override="none", **options)
        scores = self._shared.take(self.part, len(pred))
        weights = torch.ones_like(scores)
        if weight is not None:
            weights = weight.reshape(len(pred), -1).to(scores).mean(dim=1)
        keep = "none" in (reduction_override, getattr(self.inner, "reduction", "mean"))
        divisor = (
            1.0 if keep else unreduced.numel() if avg_factor is None else avg_factor + _EPSILON
        )
        later = self._divided_later(weight)
        weighed = self._shared.weigh(
            self.part,
            unreduced / (divisor * later),
            scores,
            factors=weights / (divisor * later),
            options=self.options,
        )
        rows: Tensor = self.rows(weighed * later)
        return rows if keep else rows.sum()

    def _divided_later(self, weight: Tensor | None) -> Tensor | float:
        if self.later == "weights" and weight is not None:
            return weight.sum().clamp(min=1)
        if self.later == "objects" and self._shared.objects is not None:
            return self._shared.objects.sum().clamp(min=1)
        return 1.0
