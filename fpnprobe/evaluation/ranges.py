"""The area ranges and thresholds over which COCO averages."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fpnprobe.scales import ScaleBucket

IOU_THRESHOLDS: npt.NDArray[np.float64] = np.linspace(0.5, 0.95, 10, dtype=np.float64)
RECALL_POINTS: npt.NDArray[np.float64] = np.linspace(0.0, 1.0, 101, dtype=np.float64)
MAX_DETECTIONS = (1, 10, 100)
_EVERY_AREA = 1e10  # px^2; COCO's own stand-in for infinity

AreaRange = tuple[float, float]


def area_ranges(buckets: Sequence[ScaleBucket]) -> list[AreaRange]:
    """All areas, then each bucket, as the inclusive ranges that COCO evaluates.

    An object whose area lies exactly on a border counts in both ranges, as in pycocotools; the
    gradient ledger's buckets are half open.

    >>> from fpnprobe.scales import COCO_BUCKETS
    >>> area_ranges(COCO_BUCKETS)[1:3]
    [(0.0, 1024.0), (1024.0, 9216.0)]
    """
    return [(0.0, _EVERY_AREA)] + [
        (float(bucket.low), float(min(bucket.high, _EVERY_AREA))) for bucket in buckets
    ]


def half_open(edges: npt.NDArray[np.float64]) -> list[AreaRange]:
    """Make ranges between consecutive edges that share no area: each object is in one of them."""
    tops = [np.nextafter(edge, 0.0) for edge in edges[1:-1]]
    return [
        (float(low), float(min(high, _EVERY_AREA)))
        for low, high in zip(edges[:-1], [*tops, edges[-1]], strict=True)
    ]
