"""Uncertainty weighting of an auxiliary loss (Eq. 10-11).

Jin et al., "You Should Look at All Objects", ECCV 2022. For each auxiliary classification and
regression loss L^ of a prediction made from a feature x,

    L = exp(-a) L^ + tau a                                                  (10)
    a = ReLU(w . x + b)                                                     (11)

For a free `a` the optimum is max(0, ln(L^ / tau)), so the gradient of L^ is scaled by
min(1, tau / L^): tau is the value of a loss at which damping starts.

The paper does not say to what `a` belongs, nor its normalization. Ours: one `a` for each
prediction (a RoI or a location), and tau multiplies the mean of `a` over the predictions that
count, so that tau compares with the loss as it is logged, whatever number of predictions the loss
is normalized by. With b = 0 the ReLU would start half dead, so b starts slightly above 0.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError

Granularity = Literal["prediction", "level"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UncertaintyOptions:
    """What the paper leaves open about Eq. 10-11, with our defaults.

    Attributes:
        tau: The loss value at which damping starts.
        bias: Initial b.
        granularity: One `a` for each `prediction`, or one for each `level`: the mean of its
            predictions' own.
    """

    tau: float = 0.5
    bias: float = 0.1
    granularity: Granularity = "prediction"

    def __post_init__(self) -> None:
        if not self.tau >= 0:
            raise FpnProbeError(f"tau={self.tau}: expected a loss value >= 0")
        if self.granularity not in ("prediction", "level"):
            raise FpnProbeError(
                f"granularity={self.granularity!r}: expected 'prediction' or 'level'"
            )


class Uncertainty(nn.Module):
    """a = ReLU(w . x + b) of features (N, D) or maps (B, D, H, W): (N, 1) or (B, 1, H, W), Eq. 11.

    >>> Uncertainty(8)(torch.zeros(3, 8)).flatten().tolist()
    [0.10000000149011612, 0.10000000149011612, 0.10000000149011612]
    """

    def __init__(self, channels: int, *, options: UncertaintyOptions | None = None) -> None:
        super().__init__()
        self.options = options or UncertaintyOptions()
        self.weight = nn.Parameter(torch.empty(channels).normal_(std=0.001))
        self.bias = nn.Parameter(torch.tensor([self.options.bias]))

    def forward(self, feature: Tensor) -> Tensor:
        """Compute `a` with channels in dimension 1."""
        a = torch.relu(torch.einsum("nd...,d->n...", feature, self.weight) + self.bias)
        if self.options.granularity == "level":
            a = a.mean().expand_as(a)
        return a.unsqueeze(1)


def weigh_rows(rows: Tensor, a: Tensor, *, share: Tensor, tau: float) -> Tensor:
    """The rows of L = exp(-a) L^ + tau a: they sum to the loss (Eq. 10).

    Args:
        rows: (N, ...) the rows of L^, weighted and normalized as the detector does: they sum to L^.
        a: (N,) the uncertainty of each row.
        share: (N,) part of each row in the mean of `a`: one over their number for rows that count,
            0 for ignored ones.
        tau: The loss value at which damping starts.

    >>> rows, half = torch.tensor([0.3, 0.5]), torch.tensor([0.5, 0.5])
    >>> weigh_rows(rows, torch.zeros(2), share=half, tau=1.0)
    tensor([0.3000, 0.5000])
    >>> weigh_rows(0 * rows, torch.ones(2), share=half, tau=1.0)
    tensor([0.5000, 0.5000])
    """
    shape = (-1, *[1] * (rows.dim() - 1))
    inner = rows[0].numel() if len(rows) else 1
    return torch.exp(-a).view(shape) * rows + (tau * a * share / inner).view(shape)


def optimal_damping(loss: float, tau: float) -> float:
    """Scale exp(-a*) of the gradient at the optimal `a`: min(1, tau / loss).

    >>> optimal_damping(2.0, 0.5), optimal_damping(0.1, 0.5)
    (0.25, 1.0)
    """
    return min(1.0, tau / loss) if loss > 0 else 1.0
