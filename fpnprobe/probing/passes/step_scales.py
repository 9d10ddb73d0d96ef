"""What an optimizer of Adam's kind multiplies a gradient by before it steps along it."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def step_scales(
    optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]
) -> dict[nn.Parameter, Tensor]:
    """Compute lr / (sqrt(v) + eps) of each parameter, element by element.

    Under Adam (Kingma and Ba, ICLR 2015) a gradient g enters the step as

        (1 - beta1) lr g / (sqrt(v) + eps),  v = exp_avg_sq / (1 - beta2^t)

    so two buckets whose gradients are as long may still move the weights by different amounts. The
    factor 1 - beta1 is common to all, and left out. v is that of the steps before: what the present
    gradient adds to it is the same for all buckets.

    Args:
        optimizer: Of any kind.
        parameters: Parameters of the stages, each in a group of the optimizer or frozen.

    Returns:
        The scale of each parameter, of its shape, in at least float32. Empty if the optimizer keeps
        no second moment of one of them: it is not of Adam's kind, or has made no step.

    >>> weight = nn.Parameter(torch.ones(2))
    >>> adam = torch.optim.Adam([weight], lr=0.5, eps=0)
    >>> step_scales(adam, [weight])
    {}
    >>> (weight * torch.tensor([1.0, 2.0])).sum().backward()
    >>> adam.step()
    >>> step_scales(adam, [weight])[weight]
    tensor([0.5000, 0.2500])
    """
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    scales: dict[nn.Parameter, Tensor] = {}
    for parameter in parameters:
        group, state = groups.get(id(parameter)), optimizer.state.get(parameter, {})
        if group is None or "betas" not in group or "exp_avg_sq" not in state:
            return {}
        scales[parameter] = _scale(group, state)
    return scales


def _scale(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
    moment = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
    moment = moment if moment.dtype == torch.float64 else moment.float()
    correction = 1 - float(group["betas"][1]) ** float(state["step"])
    scale: Tensor = float(group["lr"]) / (moment.sqrt() / math.sqrt(correction) + group["eps"])
    return scale
