"""Which object sizes does each backbone stage of a detector learn from, and by which path?

>>> import fpnprobe
>>> [bucket.name for bucket in fpnprobe.COCO_BUCKETS]
['small', 'medium', 'large']
"""

import importlib
from typing import TYPE_CHECKING, Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket

if TYPE_CHECKING:
    from fpnprobe.ledger import Ledger
    from fpnprobe.probing.watch import watch
    from fpnprobe.run import open_run as open

__version__ = "0.1.0"

__all__ = [
    "COCO_BUCKETS",
    "FpnProbeError",
    "Ledger",
    "ScaleBucket",
    "__version__",
    "open",
    "watch",
]

_LAZY = {
    "Ledger": ("fpnprobe.ledger", "Ledger"),
    "open": ("fpnprobe.run", "open_run"),
    "watch": ("fpnprobe.probing.watch", "watch"),
}


def __getattr__(name: str) -> Any:
    """Import the public names that are not light when they are asked for (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module 'fpnprobe' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(module), attribute)
