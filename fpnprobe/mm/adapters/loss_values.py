"""The value of a loss call, split by label: the call once more on the rows of each label."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def bound_arguments(module: nn.Module, args: Any, kwargs: Any) -> dict[str, Any]:
    """Arguments of a loss module's call by name; the first is the prediction."""
    bound = dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    bound.update(bound.pop("kwargs", {}))
    return bound


def reduction_of(module: nn.Module, arguments: Mapping[str, Any]) -> str:
    """Return how this call reduces its rows: none, mean or sum."""
    return str(arguments.get("reduction_override") or getattr(module, "reduction", "mean"))


def split_value(
    module: nn.Module, arguments: Mapping[str, Any], loss: Tensor, labels: Tensor, count: int
) -> Tensor:
    """Part of the loss that each label's rows make, `(count,)` float64.

    The normalizer is that of all rows: `avg_factor` is passed on, a plain mean is weighted by the
    fraction of rows. Buffers of the loss module are put back.
    """
    values = torch.zeros(count, dtype=torch.float64, device=loss.device)
    rows = len(labels)
    is_mean = reduction_of(module, arguments) == "mean" and arguments.get("avg_factor") is None
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    with torch.no_grad():
        for label, n in enumerate(torch.bincount(labels, minlength=count).tolist()):
            if n == rows:
                values[label] = loss.detach().double().sum()
            elif n:
                mask = labels == label
                masked_arguments = {
                    name: _rows_of(value, mask) for name, value in arguments.items()
                }
                value = module.forward(**masked_arguments).double().sum()
                values[label] = value * (n / rows if is_mean else 1.0)
        for buffer, before in buffers:
            buffer.copy_(before)
    return values


def _rows_of(value: Any, mask: Tensor) -> Any:
    if isinstance(value, Tensor) and value.dim() and len(value) == len(mask):
        return value[mask]
    return value
