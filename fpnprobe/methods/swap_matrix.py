"""The swapping matrix of a feature map (Eq. 13).

Jin et al., "You Should Look at All Objects", ECCV 2022: M_k = G_k(C'_k). The paper draws G_k
(convolution 1x1, group norm, global average pooling) but does not write it, nor how it starts; its
order, width, norm, start and rate are options.
"""

import math
from typing import Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError

SwapForm = Literal["pool-first", "pool-last"]
SwapStart = Literal["rotation", "identity", "xavier"]
SwapRate = Literal["third", "convolution", "root", "full"]

_GROUP_SIZE = 4  # smallest group of the norm in G_k


class SwapMatrix(nn.Module):
    """G_k: from a feature map (B, Z, H, W) to its swapping matrix M_k (B, Z, Z), Eq. 13.

    Global average pool, 1x1 convolution Z -> r, group norm, ReLU, 1x1 convolution r -> Z^2. The
    last one's bias is a matrix that all images share, its weights add what is of the image:

        M_k = bias + weight (code / d),   code = ReLU(norm(reduce(pool(C'_k))))

    A step of the weights moves M_k by lr |code|^2 / d^2 times its gradient under SGD, and by
    lr |code|_1 / d under Adam, where a convolution's kernel moves by lr once: with d = 1 that is
    0.5 r and 0.4 r times as far. With d = r / 3 the shared part moves as a convolution does, and
    the part of the image adds 4.5 / r times that under SGD and 1.2 times that under Adam, whatever
    Z and r are: not far from a convolution, and enough to be learned in a short training.

    Args:
        channels: Z.
        bottleneck: R; None is Z.
        norm_groups: Groups of the group norm, at most.
        softmax: Softmax over the rows of M_k.
        form: `pool-first`, or `pool-last`: convolution, norm and ReLU on the map, then the pool.
        start: Of M_k. `rotation`: a random orthogonal matrix for all images, weights of zero, so
            that the channels keep their rank; `identity`: the same from the identity; `xavier`:
            no shared part, weights / d Xavier-uniform.
        rate: `third`: d = r / 3; `convolution`: d = r, so that the shared part leads; `root`:
            d = sqrt(r), under which SGD moves the part of the image half as far as the shared one,
            and Adam 0.4 sqrt(r) times as far; `full`: d = 1.
        gain: Factor of the start.

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
        form: SwapForm = "pool-first",
        start: SwapStart = "rotation",
        rate: SwapRate = "third",
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        check_swap_options(form=form, start=start, rate=rate)
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
        self.form = form
        self.start = start
        self.gain = gain
        self.divisor = {
            "third": width / 3,
            "convolution": float(width),
            "root": math.sqrt(width),
            "full": 1.0,
        }[rate]
        self.reduce = nn.Conv2d(channels, width, 1)
        self.norm = nn.GroupNorm(groups, width)
        self.expand = nn.Conv2d(width, channels * channels, 1)
        self.init_weights()

    def init_weights(self) -> None:
        """Set the start of M_k; mmengine calls it after the neck's own initialization."""
        nn.init.xavier_uniform_(self.reduce.weight)
        nn.init.zeros_(cast(Tensor, self.reduce.bias))
        bias = cast(Tensor, self.expand.bias)
        if self.start == "xavier":
            nn.init.xavier_uniform_(self.expand.weight, gain=self.gain * self.divisor)
            nn.init.zeros_(bias)
            return
        nn.init.zeros_(self.expand.weight)
        with torch.no_grad():
            shared = bias.view(self.channels, self.channels)
            if self.start == "identity":
                nn.init.eye_(shared)
            else:
                nn.init.orthogonal_(shared)
            shared.mul_(self.gain)

    def forward(self, feature: Tensor) -> Tensor:
        """Compute M_k (B, Z, Z) of a feature map (B, Z, H, W)."""
        code = self._encode_feature(feature) / self.divisor
        count = self.channels
        weight = self.expand.weight.view(count, count, -1)  # (Z, Z, r)
        if torch.is_grad_enabled() and (weight.requires_grad or code.requires_grad):
            entries = cast(Tensor, _RowProducts.apply(weight, code)).permute(2, 0, 1)  # (B, Z, Z)
        else:  # the plain product is twice as fast, its gradient would not be
            entries = (code @ weight.flatten(0, 1).T).view(-1, count, count)
        matrix = entries + cast(Tensor, self.expand.bias).view(count, count)
        return matrix.softmax(-1) if self.softmax else matrix

    def _encode_feature(self, feature: Tensor) -> Tensor:
        """Compute the code (B, r) of a feature map, from which the expansion makes M_k."""
        if self.form == "pool-last":
            return _average_locations(F.relu(self.norm(self.reduce(feature)))).flatten(1)
        return F.relu(self.norm(self.reduce(_average_locations(feature)))).flatten(1)


def _average_locations(feature: Tensor) -> Tensor:
    """Average over the locations: (B, C, 1, 1).

    The gradient of a sum is a view of one number a channel; that of a mean would be a map.
    """
    return feature.sum(dim=(2, 3), keepdim=True) / (feature.shape[2] * feature.shape[3])


def check_swap_options(*, form: str, start: str, rate: str) -> None:
    """Raise for a form, start or rate of G_k that does not exist."""
    for name, value, allowed in (
        ("form", form, get_args(SwapForm)),
        ("start", start, get_args(SwapStart)),
        ("rate", rate, get_args(SwapRate)),
    ):
        if value not in allowed:
            raise FpnProbeError(
                f"swap_{name}={value!r}: expected {', '.join(repr(choice) for choice in allowed)}"
            )


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
