"""Gradients of parameters from rows of the loss and their cotangents."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fpnprobe.probing.calls import RowCotangents
from fpnprobe.probing.passes.closing import closed_for

Gradients = list[Tensor | None]


def gradients_of_rows(
    rows: list[Tensor],
    starts: list[Tensor],
    cotangents: Sequence[RowCotangents],
    parameters: Sequence[nn.Parameter],
) -> Gradients:
    """Return the gradients of the parameters from rows and their cotangents."""
    if not rows:
        return [None] * len(parameters)
    with closed_for(cotangents, rows):
        gradients = torch.autograd.grad(
            rows, list(parameters), starts, retain_graph=True, allow_unused=True
        )
    return list(gradients)
