"""Numbers on their way from a device, which nobody waits for until they are needed."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Arriving:
    """A small float64 tensor that is copied from its device while both go on.

    Of a step, it is asked for in the next one, after the forward pass has been handed to the
    device: by then it has come, and the device has not run out of work.

    Args:
        numbers: Of any shape.

    >>> Arriving(torch.ones(2, dtype=torch.float64)).wait().tolist()
    [1.0, 1.0]
    """

    def __init__(self, numbers: Tensor) -> None:
        self._event = None
        self._numbers = numbers
        if numbers.is_cuda:
            self._numbers = torch.empty_like(numbers, device="cpu", pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def wait(self) -> npt.NDArray[np.float64]:
        """Return the numbers, once they are there."""
        if self._event is not None:
            self._event.synchronize()
        return np.asarray(self._numbers.numpy(), dtype=np.float64)
