"""One detector's numbers on one data set, by size of object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.engines import Curves, run_engine
from fpnprobe.evaluation.ground_truth import Floats, GroundTruth
from fpnprobe.evaluation.masks import check_iou_type
from fpnprobe.evaluation.ranges import area_ranges
from fpnprobe.evaluation.suspicions import warn_of
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, check_buckets

LETTERS = ("S", "M", "L")
_STANDARD = ("small", "medium", "large")


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """The COCO numbers of one set of detections.

    `metrics` maps AP, AP_50, AP_75, AP_S, AP_M, AP_L, AR_1, AR_10, AR_100, AR_S, AR_M, AR_L (or
    AP_<name>, AR_<name> of custom buckets) to values in [0, 1], NaN where nothing could be
    evaluated; `per_category` has one row per category with the AP metrics. `warnings` are lines
    about detections that are likely not what they seem.
    """

    metrics: Mapping[str, float]
    per_category: pd.DataFrame
    buckets: tuple[ScaleBucket, ...]
    iou_type: str
    engine: str
    images: int
    objects: int
    detections: int
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        metrics = ", ".join(f"{name} {value:.3f}" for name, value in self.metrics.items())
        return (
            f"Evaluation({self.iou_type}, {self.images} images, {self.detections} detections, "
            f"{self.engine}: {metrics})"
        )

    def _repr_html_(self) -> str:
        return str(pd.DataFrame([self.metrics]).to_html(index=False, float_format="{:.3f}".format))

    def as_json(self) -> dict[str, float | str | None]:
        """The metrics by name (NaN as None) and the engine."""
        values = {name: None if value != value else value for name, value in self.metrics.items()}
        return {**values, "engine": self.engine, "iou_type": self.iou_type}

    def to_pandas(
        self, *, study: str = "", variant: str = "", seed: int = 0, iteration: int = 0
    ) -> pd.DataFrame:
        """The long table stored as `evaluation.parquet`, one row per metric."""
        return pd.DataFrame(
            {
                "study": study,
                "variant": variant,
                "seed": seed,
                "iteration": iteration,
                "iou_type": self.iou_type,
                "metric": list(self.metrics),
                "value": np.array(list(self.metrics.values()), dtype=np.float64),
                "engine": self.engine,
            }
        )


def evaluate(
    annotations: str | Path | Mapping[str, Any] | GroundTruth,
    detections: str | Path | Sequence[Any] | Detections,
    *,
    iou_type: str = "bbox",
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    engine: str = "hotcoco",
    area: str | None = None,
) -> Evaluation:
    """Evaluate detections as COCO does (Lin et al., 2014; the definitions of pycocotools).

    AP is the mean over 10 IoU thresholds (.50 to .95), 101 recall points and the categories that
    have objects; a size bucket ignores objects outside its area range and detections outside it
    that match nothing. The area of an object is its annotation's `area`; that of a detection its
    box area, or its mask area for `iou_type="segm"`.

    Args:
        annotations: COCO ground truth: path (`.json`, `.json.gz`) or dictionary.
        detections: COCO results: path or list of `{image_id, category_id, bbox, score}`.
        iou_type: `bbox` or `segm`.
        buckets: Size buckets; three of them are also reported as S, M, L.
        engine: `hotcoco` (fast) or `pycocotools` (the oracle); they agree to 1e-12.
        area: "box" takes the area of an object from its box, for data that have none.

    Raises:
        FpnProbeError: If a file is malformed or an option is unknown.

    >>> truth = {"images": [{"id": 1, "width": 64, "height": 64}],
    ...     "categories": [{"id": 1, "name": "ring"}],
    ...     "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20],
    ...                      "area": 400.0, "iscrowd": 0}]}
    >>> found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 19], "score": 0.9}]
    >>> round(evaluate(truth, found).metrics["AP_S"], 3)
    1.0
    """
    check_iou_type(iou_type)
    buckets = check_buckets(buckets)
    truth = GroundTruth.of(annotations, iou_type=iou_type, area=area)
    scored = Detections.of(detections, ground_truth=truth, iou_type=iou_type)
    curves = run_engine(
        engine,
        ground_truth=truth,
        detections=scored,
        iou_type=iou_type,
        ranges=area_ranges(buckets),
    )
    return Evaluation(
        metrics=_summarize_curves(curves, buckets),
        per_category=_per_category(curves, buckets, truth),
        buckets=buckets,
        iou_type=iou_type,
        engine=engine,
        images=len(truth.image_ids),
        objects=len(truth.image),
        detections=len(scored),
        warnings=warn_of(truth, scored),
    )


def bucket_metrics(buckets: Sequence[ScaleBucket], prefix: str = "AP") -> dict[str, int]:
    """Return the metric name of each bucket and the bucket's index.

    >>> bucket_metrics(COCO_BUCKETS)
    {'AP_S': 0, 'AP_M': 1, 'AP_L': 2}
    >>> bucket_metrics([ScaleBucket("tiny", 0, 100), ScaleBucket("rest", 100, float("inf"))], "AR")
    {'AR_tiny': 0, 'AR_rest': 1}
    """
    bucket_names = tuple(bucket.name for bucket in buckets)
    index_of_metric = {}
    if len(bucket_names) == len(LETTERS):
        index_of_metric = {f"{prefix}_{letter}": i for i, letter in enumerate(LETTERS)}
    if bucket_names != _STANDARD:
        index_of_metric |= {f"{prefix}_{name}": i for i, name in enumerate(bucket_names)}
    return index_of_metric


def _mean_of_present(values: Floats) -> float:
    present = values[values > -1]
    return float(present.mean()) if present.size else float("nan")


def _summarize_curves(curves: Curves, buckets: Sequence[ScaleBucket]) -> dict[str, float]:
    precision, recall = curves.precision, curves.recall
    values = {
        "AP": _mean_of_present(precision[:, :, :, 0, -1]),
        "AP_50": _mean_of_present(precision[0, :, :, 0, -1]),
        "AP_75": _mean_of_present(precision[5, :, :, 0, -1]),
    }
    for name, i in bucket_metrics(buckets).items():
        values[name] = _mean_of_present(precision[:, :, :, i + 1, -1])
    values |= {
        f"AR_{limit}": _mean_of_present(recall[:, :, 0, m]) for m, limit in enumerate((1, 10, 100))
    }
    for name, i in bucket_metrics(buckets, "AR").items():
        values[name] = _mean_of_present(recall[:, :, i + 1, -1])
    return values


def _per_category(
    curves: Curves, buckets: Sequence[ScaleBucket], truth: GroundTruth
) -> pd.DataFrame:
    columns = {"AP": 0} | {name: i + 1 for name, i in bucket_metrics(buckets).items()}
    return pd.DataFrame(
        {
            "category": list(truth.category_names),
            "objects": np.bincount(truth.category, minlength=len(truth.category_ids)),
            **{
                name: [
                    _mean_of_present(curves.precision[:, :, k, a, -1])
                    for k in range(len(truth.category_ids))
                ]
                for name, a in columns.items()
            },
        }
    )
