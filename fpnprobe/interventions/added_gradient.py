"""A change on top of the gradient that arrives at a tensor."""

from typing import Any

from torch import Tensor


def add_to_gradient(tensor: Any, change: Tensor) -> Any:
    """Add a change to the gradient of a tensor, in its type, until the handle is removed.

    >>> import torch
    >>> x = torch.zeros(2, requires_grad=True)
    >>> handle = add_to_gradient(x, torch.tensor([1.0, -1.0]))
    >>> x.sum().backward()
    >>> x.grad
    tensor([2., 0.])
    """

    def add_change(gradient: Tensor) -> Tensor:
        return gradient + change.to(gradient.dtype)

    return tensor.register_hook(add_change)
