"""The training stack as it is on this machine: versions, device, operator backend."""

import platform
from typing import Any

import torch

from fpnprobe.mm.ops import backend
from fpnprobe.store.installed import installed

# module -> the distributions that provide it
_DISTRIBUTIONS = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "mmengine": ("onedl-mmengine", "mmengine"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "timm": ("timm",),
    "numpy": ("numpy",),
}


def _version_of(names: tuple[str, ...]) -> str | None:
    return next((version for name in names if (version := installed(name))), None)


def describe() -> dict[str, Any]:
    """Versions, device and operator backend, for `doctor` and the manifest of every cell.

    >>> facts = describe()
    >>> facts["ops_backend"] in ("torchvision", "compiled"), facts["mmdet"] is None
    (True, False)
    """
    operators = backend()
    cuda = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        **{module: _version_of(names) for module, names in _DISTRIBUTIONS.items()},
        "device": torch.cuda.get_device_name(0) if cuda else "cpu",
        "cuda": torch.version.cuda if cuda else None,
        "ops_backend": operators.name,
        "ops_reason": operators.reason,
        "threads": torch.get_num_threads(),
    }
