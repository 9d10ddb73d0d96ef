"""The arithmetic of a training step, and how far its sums may be off because of it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

# Four times the unit roundoff of the products, and 1e-5 or 1e-10 for the whole types.
TOLERANCES: Mapping[str, float] = {
    "float64": 1e-10,
    "float32": 1e-5,
    "tf32": 2e-3,
    "float16": 2e-3,
    "bfloat16": 1.6e-2,
}
WHOLE = ("float64", "float32")


def arithmetic_of(tensors: Iterable[Tensor], *, autocast: torch.dtype | None = None) -> str:
    """The coarsest arithmetic that made some tensors: a key of `TOLERANCES`.

    Args:
        tensors: Stage outputs and rows of a loss.
        autocast: Type of `torch.autocast` in the forward pass, if it was on.

    >>> arithmetic_of([torch.ones(1), torch.ones(1, dtype=torch.float64)])
    'float32'
    >>> arithmetic_of([torch.ones(1)], autocast=torch.bfloat16)
    'bfloat16'
    """
    order = list(TOLERANCES)
    names = [] if autocast is None else [str(autocast).removeprefix("torch.")]
    for tensor in tensors:
        name = str(tensor.dtype).removeprefix("torch.")
        names.append("tf32" if name == "float32" and tensor.is_cuda and uses_tf32() else name)
    return max((n for n in names if n in order), key=order.index, default="float32")


def autocast_type(device: str) -> torch.dtype | None:
    """Type of `torch.autocast` where it is on for a device type now."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def uses_tf32() -> bool:
    """Tell whether float32 products on the GPU are TF32 ones."""
    if torch.cuda.get_device_capability()[0] < 8:
        return False
    backends: Any = torch.backends
    try:
        return bool(backends.cuda.matmul.allow_tf32 or backends.cudnn.allow_tf32)
    except RuntimeError:  # set through the newer names, which the older ones refuse to read
        return "tf32" in (backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision)


@contextmanager
def whole_float32() -> Iterator[None]:
    """Neither autocast nor TF32 inside."""
    backends: Any = torch.backends
    switches = (
        [(backends.cuda.matmul, "fp32_precision"), (backends.cudnn.conv, "fp32_precision")]
        if hasattr(backends.cuda.matmul, "fp32_precision")
        else [(backends.cuda.matmul, "allow_tf32"), (backends.cudnn, "allow_tf32")]
    )
    with ExitStack() as undo:
        for owner, name in switches if torch.cuda.is_available() else ():
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, "ieee" if name == "fp32_precision" else False)
        for device in ("cpu", "cuda"):
            undo.enter_context(torch.autocast(device, enabled=False))
        yield
