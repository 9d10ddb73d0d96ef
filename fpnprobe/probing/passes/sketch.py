"""Short stand-ins for long gradients: sums of gradients are compared without keeping any."""

from collections.abc import Sequence

import torch
from torch import Tensor

_BLOCK = 64
# Fixed signs in no order; their sum is 8, so that a constant stretch keeps its length too.
_SIGNS = "++-+++--++++++++-+-+--+---++--+--++-+--+--+-+-+-+++-++-++++----+"


def sketch(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """A signed sum of each 64 elements: linear, 64 times shorter, and about as long a vector.

    Over random signs the expected squared length is exactly that of the tensor (Achlioptas 2003,
    database-friendly random projections); with one pattern for thousands of blocks it is within a
    few percent for a difference that is not made to defeat it.

    >>> [part.tolist() for part in sketch([torch.ones(128)])]
    [[8.0, 8.0]]
    """
    return [None if tensor is None else _sketch_flat(tensor.flatten()) for tensor in tensors]


def _sketch_flat(flat: Tensor) -> Tensor:
    signs = torch.tensor(
        [1.0 if sign == "+" else -1.0 for sign in _SIGNS], dtype=flat.dtype, device=flat.device
    )
    whole = len(flat) // _BLOCK * _BLOCK
    body = flat[:whole].view(-1, _BLOCK) @ signs
    if whole == len(flat):
        return body
    return torch.cat([body, (flat[whole:] * signs[: len(flat) - whole]).sum().reshape(1)])
