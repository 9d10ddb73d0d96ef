"""Uncertainty weighting of an auxiliary loss (Eq. 10-11).

Jin et al., "You Should Look at All Objects", ECCV 2022. For each auxiliary classification and
regression loss L^ of a prediction made from a feature x,

    L = exp(-a) L^ + tau a                                                  (10)
    a = ReLU(w . x + b)                                                     (11)

For a free `a` the optimum is max(0, ln(L^ / tau)), so the gradient of L^ is scaled by
min(1, tau / L^): tau is the value of a loss at which damping starts.

The paper does not say to what `a` belongs, nor its normalization, nor how it is kept alive. Ours:

- One `a` for each prediction (a RoI or a location), whose L^ is that prediction's own loss. Both
  terms of Eq. 10 get the factor that the detector gives that loss (its weight, divided by the
  number of RoIs or of objects), so the optimum is the same under every normalization.
- The coefficient of `a` is tau, but no more than the prediction's own loss (`capped`). Above tau
  that is Eq. 10 to the letter; below it the optimum is 0 in both. With `tau` it is Eq. 10 to the
  letter everywhere, and the 100,000 background anchors of a dense head, whose losses are divided by
  the few objects, then push their common w and b down a thousand times harder than objects pull.
- `w` and `b` start at 0: the training starts as the one without uncertainty. A ReLU that is closed
  gets the gradient of an open one where L^ > tau, for there Eq. 10 wants it open: it cannot die.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError

Granularity = Literal["prediction", "level"]
Coefficient = Literal["capped", "tau"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UncertaintyOptions:
    """The choices that the paper leaves open about Eq. 10-11, with our defaults.

    Attributes:
        tau: The loss value at which damping starts.
        bias: Initial b.
        granularity: One `a` for each `prediction` and its own loss, or one for each `level`: the
            mean of its predictions' own, against the whole loss as it is logged.
        coefficient: What multiplies `a`: `tau`, or tau `capped` by the loss.
    """

    tau: float = 0.5
    bias: float = 0.0
    granularity: Granularity = "prediction"
    coefficient: Coefficient = "capped"

    def __post_init__(self) -> None:
        if not self.tau >= 0:
            raise FpnProbeError(f"tau={self.tau}: expected a loss value >= 0")
        if self.granularity not in ("prediction", "level"):
            raise FpnProbeError(
                f"granularity={self.granularity!r}: expected 'prediction' or 'level'"
            )
        if self.coefficient not in ("capped", "tau"):
            raise FpnProbeError(f"coefficient={self.coefficient!r}: expected 'capped' or 'tau'")


class Uncertainty(nn.Module):
    """The w . x + b of Eq. 11 for features (N, D) or maps (B, D, H, W): (N, 1) or (B, 1, H, W).

    The ReLU follows in `weigh_rows`, because its gradient depends on the loss.

    >>> Uncertainty(8, options=UncertaintyOptions(bias=0.5))(torch.zeros(3, 8)).flatten().tolist()
    [0.5, 0.5, 0.5]
    """

    def __init__(self, channels: int, *, options: UncertaintyOptions | None = None) -> None:
        super().__init__()
        self.options = options or UncertaintyOptions()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.tensor([self.options.bias]))

    def forward(self, feature: Tensor) -> Tensor:
        """Compute `w . x + b` with channels in dimension 1."""
        scores = torch.einsum("nd...,d->n...", feature, self.weight) + self.bias
        return scores.unsqueeze(1)


@dataclass(frozen=True, slots=True)
class WeighedRows:
    """The rows of Eq. 10, and how much they damp.

    Attributes:
        rows: (N, ...) they sum to exp(-a) L^ + tau a.
        alpha: -ln of the part that is left of L^: exp(-alpha) is what the gradient is scaled by, in
            the mean over the loss.
    """

    rows: Tensor
    alpha: Tensor


def weigh_rows(
    rows: Tensor, scores: Tensor, *, factors: Tensor, options: UncertaintyOptions
) -> WeighedRows:
    """Weigh the rows of L^ by their uncertainty (Eq. 10).

    Args:
        rows: (N, ...) the rows of L^, weighted and normalized as the detector does: they sum to L^.
        scores: (N,) w . x + b of each row.
        factors: (N,) by what the detector multiplied each prediction's own loss: its weight over
            the normalizer, 0 for ignored ones.
        options: Tau, and what the paper leaves open.

    >>> rows, half = torch.tensor([0.15, 1.0]), torch.tensor([0.5, 0.5])  # own losses 0.3 and 2
    >>> options = UncertaintyOptions(tau=1.0)
    >>> weigh_rows(rows, torch.zeros(2), factors=half, options=options).rows
    tensor([0.1500, 1.0000])
    >>> best = torch.tensor([0.0, 2.0]).log().relu()  # ln(L^ / tau) where that is positive
    >>> weigh_rows(rows, best, factors=half, options=options).rows  # 0.15, and (1 + ln 2) / 2
    tensor([0.1500, 0.8466])
    """
    sums = rows.detach().flatten(1).sum(1) if rows.dim() > 1 else rows.detach()
    tiny = torch.finfo(sums.dtype).tiny
    if options.granularity == "level":
        counted = (factors > 0).to(sums)
        factors = counted / counted.sum().clamp(min=1)
        losses = sums.sum().expand_as(sums)
    else:
        losses = torch.where(factors > 0, sums / factors.clamp(min=tiny), 0)
    coefficients = losses.clamp(max=options.tau) if options.coefficient == "capped" else options.tau

    # The ReLU, whose gradient is also open where it is worth to open it.
    gates = (scores.detach() > 0) | (losses > options.tau)
    a = torch.relu(scores.detach()) + gates * (scores - scores.detach())
    if options.granularity == "level":
        a = (factors * a).sum().expand_as(a)

    shape = (-1, *[1] * (rows.dim() - 1))
    inner = rows[0].numel() if len(rows) else 1
    damped = torch.exp(-a).view(shape) * rows
    costs = (factors * coefficients * a / inner).view(shape)
    alpha = torch.where(sums.sum() > 0, (sums.sum() / damped.detach().sum()).log(), 0)
    return WeighedRows(damped + costs, alpha)


def optimal_damping(loss: float, tau: float) -> float:
    """Return the scale exp(-a*) of the gradient at the optimal `a`: min(1, tau / loss).

    >>> optimal_damping(2.0, 0.5), optimal_damping(0.1, 0.5)
    (0.25, 1.0)
    """
    return min(1.0, tau / loss) if loss > 0 else 1.0
