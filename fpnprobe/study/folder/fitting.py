"""Settings that a study leaves to its data: the size of images, and the buckets of its objects."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fpnprobe.config.schema import Study
from fpnprobe.scales import COCO_BUCKETS, bucket_index

if TYPE_CHECKING:
    from fpnprobe.data.annotation_file.annotations import Annotations

_STRIDE = 32  # px; images are padded to a multiple of it
_LEAST_SHARE = 0.05  # of the objects, in each of COCO's buckets, for COCO's buckets to say anything

Bucket = tuple[str, float, float | None]


def fit_size(annotations: "Annotations", *, limit: int) -> int:
    """Choose the short side that images are resized to, in px.

    It is the median of the images' own, at most `limit`, as a multiple of 32: detail that the
    median image does not have would only cost time.
    """
    median = float(np.median(annotations.sizes.min(axis=1)))
    return max(_STRIDE * 2, int(min(median, limit)) // _STRIDE * _STRIDE)


def fit_buckets(annotations: "Annotations") -> tuple[Bucket, ...]:
    """Choose the scale buckets: COCO's, unless one of them holds under 5 % of the objects.

    Then the objects are parted into thirds by their side, the square root of their area, at whole
    pixels. Returns nothing for COCO's buckets, and where all objects are of about one size.
    """
    areas = annotations.areas[~annotations.crowd]
    counts = np.bincount(bucket_index(areas), minlength=len(COCO_BUCKETS))
    if not len(areas) or counts.min() >= _LEAST_SHARE * len(areas):
        return ()
    first, second = (int(side) for side in np.round(np.quantile(np.sqrt(areas), [1 / 3, 2 / 3])))
    if not 0 < first < second:
        return ()
    return (
        ("small", 0.0, float(first**2)),
        ("medium", float(first**2), float(second**2)),
        ("large", float(second**2), None),
    )


def fit_study(study: Study, *, size: int, buckets: tuple[Bucket, ...]) -> Study:
    """Put what was chosen in place of each "auto"; a small detector is built for that size."""
    changes: dict[str, Any] = {}
    if study.data.size == "auto":
        changes["data"] = {**study.data.model_dump(), "size": size}
        if "config" not in study.detector and "size" not in study.detector:
            changes["detector"] = {**study.detector, "size": size}
    if study.buckets == "auto":
        changes["buckets"] = buckets
    return Study.model_validate({**study.model_dump(), **changes}) if changes else study
