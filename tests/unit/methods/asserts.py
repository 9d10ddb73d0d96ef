"""Named properties of the methods."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Outputs = Sequence[Tensor]


def assert_equals_twin(
    module: nn.Module,
    fast: Callable[..., Outputs],
    slow: Callable[..., Outputs],
    inputs: Sequence[Tensor],
    *,
    tolerance: float = 1e-10,
) -> None:
    """Same values, and same gradients for inputs and parameters, for a random cotangent."""
    leaves = [tensor for tensor in inputs if tensor.requires_grad]
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    values, gradients = [], []
    for function in (fast, slow):
        outputs = function(*inputs)
        generator = torch.Generator().manual_seed(7)
        cotangents = [
            torch.randn(out.shape, generator=generator, dtype=out.dtype) for out in outputs
        ]
        values.append([out.detach() for out in outputs])
        gradients.append(
            torch.autograd.grad(outputs, [*leaves, *parameters], cotangents, allow_unused=True)
        )
    for ours, twin in zip(*values, strict=True):
        assert_close(ours, twin, tolerance)
    used = 0
    for own, other in zip(*gradients, strict=True):
        assert (own is None) == (other is None)
        if own is not None and other is not None:
            assert_close(own, other, tolerance)
            used += bool(other.abs().max() > 0)
    assert used > len(leaves) // 2, "nearly all gradients are zero: the test proves nothing"


def assert_close(ours: Tensor, twin: Tensor, tolerance: float = 1e-10) -> None:
    assert ours.shape == twin.shape
    ours, twin = ours.detach(), twin.detach()
    scale = float(twin.abs().max().clamp(min=1))
    worst = float((ours - twin).abs().max())
    assert worst <= tolerance * scale, f"off by {worst} of {scale}"


def pyramid(
    *, channels: int = 16, sizes: Sequence[tuple[int, int]], batch: int = 2
) -> list[Tensor]:
    return [
        torch.randn(batch, channels, *size, dtype=torch.float64, requires_grad=True)
        for size in sizes
    ]
