"""A place in a loss where its unreduced rows pass by, for losses that mix more than predictions."""

from torch import Tensor, nn


class LossRows(nn.Module):
    """Returns its input: unreduced loss rows `(R, ...)` with all their factors.

    A loss whose value depends on features by more than the predictions it is given (a learned
    uncertainty, say) passes its rows through one of these before it reduces them. The probe then
    takes the rows from here, and not the predictions.

    >>> import torch
    >>> LossRows()(torch.tensor([1.0, 2.0])).sum()
    tensor(3.)
    """

    def forward(self, rows: Tensor) -> Tensor:
        """Return the rows."""
        return rows
