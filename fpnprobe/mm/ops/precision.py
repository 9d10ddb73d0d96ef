"""The floating-point type in which the stand-in operators compute."""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half and bfloat16 become float32; float32 and float64 stay.

    torchvision has no bfloat16 kernels on the CPU, and half coordinates move boxes.

    >>> at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
