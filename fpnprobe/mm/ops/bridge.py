"""The extension module `mmcv._ext`: the compiled one where it works, else ours."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Literal, NoReturn

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision

from fpnprobe.errors import EnvironmentProblem
from fpnprobe.mm.ops import (
    carafe,
    deform_attention,
    deform_conv,
    deform_roi_pool,
    focal_loss,
    nms,
    roi_align,
)

_NAME = "mmcv._ext"
_OPERATORS: tuple[Callable[..., object], ...] = (
    nms.nms,
    nms.softnms,
    nms.nms_match,
    roi_align.roi_align_forward,
    roi_align.roi_align_backward,
    focal_loss.sigmoid_focal_loss_forward,
    focal_loss.sigmoid_focal_loss_backward,
    deform_conv.deform_conv_forward,
    deform_conv.deform_conv_backward_input,
    deform_conv.deform_conv_backward_parameters,
    deform_conv.modulated_deform_conv_forward,
    deform_conv.modulated_deform_conv_backward,
    deform_roi_pool.deform_roi_pool_forward,
    deform_roi_pool.deform_roi_pool_backward,
    carafe.carafe_forward,
    carafe.carafe_backward,
    carafe.carafe_naive_forward,
    carafe.carafe_naive_backward,
    deform_attention.ms_deform_attn_forward,
    deform_attention.ms_deform_attn_backward,
)


@dataclass(frozen=True, slots=True)
class Backend:
    """The library that serves mmcv's operators, and why the compiled extension does not."""

    name: Literal["torchvision", "compiled"]
    reason: str = ""


class TorchvisionExtension(ModuleType):
    """Stand-in for `mmcv._ext`; an operator that torchvision lacks raises when it is called."""

    def __init__(self, reason: str) -> None:
        super().__init__(_NAME)
        self.__spec__ = ModuleSpec(_NAME, loader=None)
        self.reason = reason
        for operator in _OPERATORS:
            setattr(self, operator.__name__, operator)

    @staticmethod
    def get_compiler_version() -> str:
        """Read by mmcv's environment report."""
        return "none: operators served by torchvision"

    @staticmethod
    def get_compiling_cuda_version() -> str:
        """Read by mmcv's environment report."""
        return "none: operators served by torchvision"

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: object, **__: object) -> NoReturn:
            raise EnvironmentProblem(
                f"mmcv's operator '{name}' is not served by torchvision: "
                "install a compiled mmcv, or choose a model without it"
            )

        return missing


def _find_lack(extension: ModuleType) -> str:
    """Explain why a compiled extension cannot serve this machine; empty if it can.

    A build without CUDA kernels loads well and fails at the first training step.
    """
    if not torch.cuda.is_available():
        return ""
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device="cuda")
    try:
        extension.nms(box, box[:, 2], iou_threshold=0.5, offset=0)
    except RuntimeError as error:
        return f"compiled without working CUDA kernels ({str(error).splitlines()[0]})"
    return ""


def install() -> Backend:
    """Make `mmcv._ext` importable; call before anything imports `mmcv.ops`. Idempotent."""
    if _NAME not in sys.modules:
        try:
            reason = _find_lack(importlib.import_module(_NAME))
        except ModuleNotFoundError:
            reason = "not compiled"
        except (ImportError, OSError) as error:
            reason = f"compiled for another torch ({str(error).splitlines()[0]})"
        if reason:
            sys.modules[_NAME] = TorchvisionExtension(reason)
    return backend()


def backend() -> Backend:
    """Return the library that serves the operators now.

    >>> install().name in ("torchvision", "compiled")
    True
    """
    extension = sys.modules.get(_NAME)
    if isinstance(extension, TorchvisionExtension):
        return Backend("torchvision", extension.reason)
    return Backend("compiled")
