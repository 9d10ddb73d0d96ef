"""The versions that are installed: facts that are stored with every result."""

import platform
from collections.abc import Mapping
from importlib import metadata

_PACKAGES = (
    "fpnprobe", "torch", "torchvision", "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection",
    "timm", "numpy", "pandas", "pyarrow", "opencv-python-headless", "pycocotools", "hotcoco",
)  # fmt: skip


def installed(distribution: str) -> str | None:
    """Version of a distribution, or None where it is not installed.

    >>> installed("no-such-distribution") is None
    True
    """
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def versions() -> Mapping[str, str]:
    """Installed versions of Python and of the packages that a result depends on."""
    found_versions = {
        name: version for name in _PACKAGES if (version := installed(name)) is not None
    }
    return {"python": platform.python_version(), **found_versions}
