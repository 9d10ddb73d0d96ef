"""The swapping matrix of a feature map (Eq. 13).

Jin et al., "You Should Look at All Objects", ECCV 2022: M_k = G_k(C'_k). The paper draws G_k but
does not write it; its width and its norm are options.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError

_GROUP_SIZE = 4  # smallest group of the norm in G_k


class SwapMatrix(nn.Module):
    """G_k: from a feature map (B, Z, H, W) to its swapping matrix M_k (B, Z, Z), Eq. 13.

    Global average pool, 1x1 convolution Z -> r, group norm, ReLU, 1x1 convolution r -> Z^2.
    Xavier-uniform weights keep std(M_k C'_k) / std(C'_k) near one.

    >>> SwapMatrix(32)(torch.zeros(2, 32, 5, 7)).shape
    torch.Size([2, 32, 32])
    """

    def __init__(
        self,
        channels: int,
        *,
        bottleneck: int | None = None,
        norm_groups: int = 16,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        width = bottleneck or channels
        if width < 2 or norm_groups < 1:
            raise FpnProbeError(
                f"G_k of width {width} with {norm_groups} norm groups: expected a width of two or "
                "more and at least one group"
            )
        most = max(1, min(norm_groups, width // _GROUP_SIZE))
        groups = max(n for n in range(1, most + 1) if width % n == 0)
        self.channels = channels
        self.softmax = softmax
        self.reduce = nn.Conv2d(channels, width, 1)
        self.norm = nn.GroupNorm(groups, width)
        self.expand = nn.Conv2d(width, channels * channels, 1)
        for layer in (self.reduce, self.expand):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, feature: Tensor) -> Tensor:
        """Compute M_k (B, Z, Z) of a feature map (B, Z, H, W)."""
        # The gradient of a sum is a view of one number a channel; that of a mean would be a map.
        pooled = feature.sum(dim=(2, 3), keepdim=True) / (feature.shape[2] * feature.shape[3])
        code = F.relu(self.norm(self.reduce(pooled))).flatten(1)  # (B, r)
        count = self.channels
        weight = self.expand.weight.view(count, count, -1)  # (Z, Z, r)
        entries = cast(Tensor, _RowProducts.apply(weight, code)).permute(2, 0, 1)  # (B, Z, Z)
        matrix = entries + cast(Tensor, self.expand.bias).view(count, count)
        return matrix.softmax(-1) if self.softmax else matrix


class _RowProducts(torch.autograd.Function):
    """Weights (Z, Z, r) times a code (B, r), row of M_k by row: (Z, Z, B).

    One small product for each row of M_k: the gradient of the code is a sum of Z^2 terms, which one
    long product adds up with ten times the rounding error of Z sums of Z terms. Each of these reads
    the weights in the order in which they lie, which torch's own gradient of `bmm` does not.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, code: Tensor) -> Tensor:
        ctx.save_for_backward(weight, code)
        return torch.bmm(weight, code.T.expand(len(weight), -1, -1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weight, code = ctx.saved_tensors
        gradient = gradients[0].to(weight.dtype)  # half as wide under autocast
        of_weight = of_code = None
        if ctx.needs_input_grad[0]:
            of_weight = torch.bmm(gradient, code.to(weight.dtype).expand(len(weight), -1, -1))
        if ctx.needs_input_grad[1]:
            of_code = torch.bmm(gradient.transpose(1, 2), weight).sum(0)
        return of_weight, of_code
