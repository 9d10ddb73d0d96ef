"""Two detectors on the same images: every difference with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import GroundTruth
from fpnprobe.evaluation.masks import check_iou_type
from fpnprobe.evaluation.resampling import resample
from fpnprobe.evaluation.size_bins import bin_table, size_edges
from fpnprobe.evaluation.suspicions import warn_of
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, check_buckets, name_metric
from fpnprobe.statistics import percentile_interval, resample_counts

RESAMPLES = 1000
SEED = 0


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """The AP that B gains over A, with 95 % intervals of a paired bootstrap over images.

    `table` has metric, a, b, difference (b - a), low, high; `curve` has the same for the bins of
    sqrt(area), with `low_size` and `high_size` in px and `n_objects`. `warnings` are lines about
    detections that are likely not what they seem.
    """

    table: pd.DataFrame
    curve: pd.DataFrame
    images: int
    resamples: int
    buckets: tuple[ScaleBucket, ...] = COCO_BUCKETS
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        head = (
            f"Comparison over {self.images} images in AP points, 95 % intervals over images "
            f"({self.resamples} resamples); one training each: how much training varies is not in "
            "them\n"
        )
        return head + self._readable_table().to_string(index=False, float_format="{:.1f}".format)

    def _repr_html_(self) -> str:
        return str(self._readable_table().to_html(index=False, float_format="{:.1f}".format))

    def _readable_table(self) -> pd.DataFrame:
        """The table for a person, in points: AP by size with bounds that are not COCO's."""
        names = [name_metric(str(name), self.buckets) for name in self.table["metric"]]
        points = {name: 100 * self.table[name] for name in ("a", "b", "difference", "low", "high")}
        return self.table.assign(metric=names, **points)

    def to_pandas(self) -> pd.DataFrame:
        """The table of metrics."""
        return self.table

    def as_json(self) -> dict[str, Any]:
        """`{metric: {a, b, difference, low, high}}`, bins as `AP@[low,high)`; NaN as null."""
        rows_by_metric = {row.pop("metric"): row for row in self.table.to_dict("records")}
        for row in self.curve.to_dict("records"):
            name = f"AP@[{row.pop('low_size'):g},{row.pop('high_size'):g})"
            rows_by_metric[name] = {k: row[k] for k in ("a", "b", "difference", "low", "high")}
        return {
            str(name): {str(k): None if v != v else v for k, v in row.items()}
            for name, row in rows_by_metric.items()
        }


def check_resampling(*, resamples: int, seed: int) -> None:
    """Raise unless there are resamples enough for an interval, and a seed to draw them with."""
    if resamples < 2:
        raise FpnProbeError(f"resamples is {resamples}, expected at least 2, better {RESAMPLES}")
    if seed < 0:
        raise FpnProbeError(f"seed is {seed}, expected at least 0")


def compare(
    annotations: str | Path | Mapping[str, Any] | GroundTruth,
    a: str | Path | Sequence[Any] | Detections,
    b: str | Path | Sequence[Any] | Detections,
    *,
    iou_type: str = "bbox",
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    area: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Paired bootstrap over images (Efron and Tibshirani, 1993) of every AP difference `b - a`.

    Images are drawn with replacement, the same for both runs; the interval is that of the 2.5 and
    97.5 percentiles, expanded for the number of images that hold an object of the size
    (`percentile_interval`). It covers the choice of images only: how much a run changes with its
    training seed needs several seeds.

    Args:
        annotations: COCO ground truth, path or dictionary.
        a: Detections of the first run, path or list.
        b: Detections of the second run.
        iou_type: `bbox` or `segm`.
        buckets: Size buckets.
        area: "box" takes the area of an object from its box, for data that have none.
        resamples: Bootstrap resamples.
        seed: Of the resampling.

    Raises:
        FpnProbeError: If a file is malformed or an option is out of range.

    >>> truth = {"images": [{"id": i} for i in (1, 2)], "categories": [{"id": 1}],
    ...     "annotations": [{"image_id": i, "category_id": 1, "bbox": [0, 0, 20, 20], "area": 400}
    ...                     for i in (1, 2)]}
    >>> hit = [{"image_id": i, "category_id": 1, "bbox": [0, 0, 20, 20], "score": 1}
    ...        for i in (1, 2)]
    >>> compare(truth, hit, hit, resamples=20).as_json()["AP_S"]
    {'a': 1.0, 'b': 1.0, 'difference': 0.0, 'low': 0.0, 'high': 0.0}
    """
    check_iou_type(iou_type)
    buckets = check_buckets(buckets)
    check_resampling(resamples=resamples, seed=seed)
    truth = GroundTruth.of(annotations, iou_type=iou_type, area=area)
    counts = resample_counts(len(truth.image_ids), resamples=resamples, seed=seed)
    pair = [
        Detections.of(detections, ground_truth=truth, iou_type=iou_type) for detections in (a, b)
    ]
    first, second = (
        resample(truth, detections, counts=counts, iou_type=iou_type, buckets=buckets)
        for detections in pair
    )
    bounds = np.array(
        [
            percentile_interval(row, items=int(n))
            for row, n in zip(second.samples - first.samples, first.items, strict=True)
        ]
    )
    table = pd.DataFrame(
        {
            "a": first.values,
            "b": second.values,
            "difference": second.values - first.values,
            "low": bounds[:, 0],
            "high": bounds[:, 1],
        }
    )
    bins = bin_table(truth, size_edges(buckets))
    bins = bins.rename(columns={"low": "low_size", "high": "high_size"})
    n = len(first.names)
    return Comparison(
        table=pd.concat(
            [pd.Series(first.names, name="metric"), table[:n].reset_index(drop=True)], axis=1
        ),
        curve=pd.concat([bins, table[n:].reset_index(drop=True)], axis=1),
        images=len(truth.image_ids),
        resamples=resamples,
        buckets=buckets,
        warnings=tuple(line for detections in pair for line in warn_of(truth, detections)),
    )
