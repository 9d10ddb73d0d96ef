"""AP against object size, with a band."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import GroundTruth
from fpnprobe.evaluation.masks import check_iou_type
from fpnprobe.evaluation.resampling import resample
from fpnprobe.evaluation.size_bins import bin_table, size_edges
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, check_buckets
from fpnprobe.statistics import percentile_interval, resample_counts


def size_curve(
    annotations: str | Path | Mapping[str, Any] | GroundTruth,
    detections: str | Path | Sequence[Any] | Detections,
    *,
    iou_type: str = "bbox",
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute AP in bins of sqrt(area) that share bucket borders, with a 95 % bootstrap band.

    A bin is evaluated as AP_S is, for areas from `low^2` up to but not including `high^2`. The
    band is the expanded percentile interval over resampled images.

    Returns:
        `low`, `high`, `sqrt_area` (px), `ap`, `band_low`, `band_high` in [0, 1], `n_objects`; NaN
        in bins without objects.

    >>> truth = {"images": [{"id": i} for i in (1, 2)], "categories": [{"id": 1}],
    ...     "annotations": [{"image_id": i, "category_id": 1, "bbox": [0, 0, 50, 50], "area": 2500}
    ...                     for i in (1, 2)]}
    >>> hit = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50], "score": 1}]
    >>> curve = size_curve(truth, hit, resamples=50).set_index("low")
    >>> round(float(curve.at[48.0, "ap"]), 3), int(curve.at[48.0, "n_objects"])
    (0.505, 2)
    """
    check_iou_type(iou_type)
    buckets = check_buckets(buckets)
    truth = GroundTruth.of(annotations, iou_type=iou_type)
    scored = Detections.of(detections, ground_truth=truth, iou_type=iou_type)
    counts = resample_counts(len(truth.image_ids), resamples=resamples, seed=seed)
    run = resample(truth, scored, counts=counts, iou_type=iou_type, buckets=buckets)
    n = len(run.names)
    band = np.array(
        [
            percentile_interval(row, items=int(images))
            for row, images in zip(run.samples[n:], run.items[n:], strict=True)
        ]
    )
    table = bin_table(truth, size_edges(buckets))
    table = table.assign(ap=run.values[n:], band_low=band[:, 0], band_high=band[:, 1])
    return table[["low", "high", "sqrt_area", "ap", "band_low", "band_high", "n_objects"]]
