"""The factors by which an optimizer of Adam's kind multiplies a gradient before its step."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class UpdateScales:
    """Factors lr / (sqrt(v) + eps) of an optimizer, element by element.

    Under Adam (Kingma and Ba, ICLR 2015, algorithm 1) a gradient g enters the step as

        (1 - beta1) lr g / (sqrt(v) + eps),  v = exp_avg_sq / (1 - beta2^t)

    so two buckets whose gradients are as long may still move the weights by different amounts. The
    factor 1 - beta1 is common to all, and left out. v is that of the steps before: what the present
    gradient adds to it is the same for all buckets.

    Args:
        optimizer: Of any kind.

    >>> weight = nn.Parameter(torch.ones(2))
    >>> adam = torch.optim.Adam([weight], lr=0.5, eps=0)
    >>> UpdateScales(adam).cover([weight])  # it has made no step
    False
    >>> (weight * torch.tensor([1.0, 2.0])).sum().backward()
    >>> adam.step()
    >>> UpdateScales(adam).cover([weight]), UpdateScales(adam).scale(weight)
    (True, tensor([0.5000, 0.2500]))
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._states: Any = optimizer.state
        self._groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}

    def cover(self, parameters: Iterable[nn.Parameter]) -> bool:
        """Tell whether the optimizer keeps a second moment of each of the parameters."""
        return all(
            "betas" in self._groups.get(id(p), ()) and "exp_avg_sq" in self._states.get(p, ())
            for p in parameters
        )

    def scale(self, parameter: nn.Parameter) -> Tensor:
        """Compute the factor of a covered parameter, of its shape, in at least float32."""
        group, state = self._groups[id(parameter)], self._states[parameter]
        moment = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
        moment = moment if moment.dtype == torch.float64 else moment.float()
        correction = 1 - float(group["betas"][1]) ** float(state["step"])
        scale: Tensor = float(group["lr"]) / (moment.sqrt() / math.sqrt(correction) + group["eps"])
        return scale
