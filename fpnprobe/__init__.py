"""Which object sizes does each backbone stage of a detector learn from, and by which path?

>>> import fpnprobe
>>> [bucket.name for bucket in fpnprobe.COCO_BUCKETS]
['small', 'medium', 'large']
"""

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket

__version__ = "0.1.0"

__all__ = ["COCO_BUCKETS", "FpnProbeError", "ScaleBucket", "__version__"]
