"""Measures what would arrive at a frozen stage: its output takes part in the backward pass."""

from typing import Any

import torch
from torch import Tensor


class _Arrival(torch.autograd.Function):
    """The same numbers in the same memory, with a gradient."""

    @staticmethod
    def forward(_ctx: Any, output: Tensor, _anchor: Tensor) -> Tensor:
        """Give the output itself."""
        return output.detach()

    @staticmethod
    def backward(_ctx: Any, *_gradients: Tensor) -> tuple[None, None]:
        """End here: what lies before is not trained."""
        return None, None


def with_gradient(output: Tensor) -> Tensor:
    """A tensor that equals `output` to the last bit and gets a gradient; no parameter does.

    Everything before it is frozen, so the gradients of all parameters stay what they are.

    >>> arrived = with_gradient(torch.ones(2))
    >>> torch.autograd.grad((3 * arrived).sum(), arrived)
    (tensor([3., 3.]),)
    """
    anchor = torch.zeros((), device=output.device, requires_grad=True)
    arrived: Tensor = _Arrival.apply(output, anchor)
    return arrived


def only_arrives(output: Tensor) -> bool:
    """Tell whether a gradient comes to this stage output and goes no further.

    >>> only_arrives(with_gradient(torch.ones(2))), only_arrives(torch.ones(2))
    (True, False)
    """
    return type(output.grad_fn).__name__ == f"{_Arrival.__name__}Backward"
