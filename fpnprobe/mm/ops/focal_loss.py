"""Sigmoid focal loss and its gradient with the signatures of mmcv's compiled extension.

Lin et al. 2017, Eq. 5: `FL = -alpha_t (1 - p_t)^gamma log(p_t)`. With `s = +1` on the target class
and -1 elsewhere and `z = s x`: `p_t = sigmoid(z)`, and
`dFL/dx = -s alpha_t (1 - p_t)^gamma ((1 - p_t) - gamma p_t log(p_t))`.
`log(p_t)` is `logsigmoid(z)`, exact for every logit; the compiled CUDA kernel clamps `p` instead
and is wrong beyond a logit of 17.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from fpnprobe.mm.ops.precision import at_least_float32


def _loss_terms(
    logits: Tensor, target: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`s`, `1 - p_t`, `log(p_t)` and `alpha_t`, each `(N, C)`."""
    logits = at_least_float32(logits)
    hit = target[:, None] == torch.arange(logits.size(1), device=logits.device)
    sign = hit.to(logits.dtype) * 2 - 1
    alpha_t = (1 - alpha) + (2 * alpha - 1) * hit.to(logits.dtype)
    return sign, torch.sigmoid(-sign * logits), logsigmoid(sign * logits), alpha_t


def _weigh_by_class(values: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Times the weight of the target class; background (index `C`) has none and counts as 1."""
    if weight.numel() == 0:
        return values
    return values * torch.cat([weight.to(values.dtype), values.new_ones(1)])[target][:, None]


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill `output` `(N, C)` from logits `(N, C)` and `target` `(N,)`; `C` means background."""
    _, miss, log_p, alpha_t = _loss_terms(input, target, alpha)
    output.copy_(_weigh_by_class(-alpha_t * miss**gamma * log_p, target, weight))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill `grad_input` `(N, C)` with `dFL/dx`; mmcv multiplies by the incoming gradient."""
    sign, miss, log_p, alpha_t = _loss_terms(input, target, alpha)
    slope = -sign * alpha_t * miss**gamma * (miss - gamma * (1 - miss) * log_p)
    grad_input.copy_(_weigh_by_class(slope, target, weight))
