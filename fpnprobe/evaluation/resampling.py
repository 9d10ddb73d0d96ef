"""A run's AP metrics and size curve with their bootstrap samples over images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fpnprobe.evaluation.bootstrap.average_precision import resampled_ap
from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.evaluation import bucket_metrics
from fpnprobe.evaluation.ground_truth import Floats, GroundTruth, Ints
from fpnprobe.evaluation.matching.greedy import match
from fpnprobe.evaluation.ranges import area_ranges, half_open
from fpnprobe.evaluation.size_bins import size_edges
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket


@dataclass(frozen=True, slots=True, repr=False)
class Resampled:
    """Statistics of one run on all images, and on each bootstrap resample of them.

    `names` are AP, AP_50, AP_75 and the buckets' metrics; the bins of the size curve follow them.
    `values` (N,) belongs to all images, `samples` (N, R) to the resamples, `items` (N,) says how
    many images hold an object that counts. Two runs resampled with the same counts are paired.
    """

    names: tuple[str, ...]
    values: Floats
    samples: Floats
    items: Ints

    def __repr__(self) -> str:
        return f"Resampled({len(self.names)} metrics, {self.samples.shape[1]} resamples)"


def resample(
    truth: GroundTruth,
    detections: Detections,
    *,
    counts: npt.NDArray[np.integer],
    iou_type: str = "bbox",
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    curve: bool = True,
) -> Resampled:
    """Match once, then accumulate all images and each resample `counts` (R, images)."""
    ranges = area_ranges(buckets)
    if curve:
        ranges += half_open(size_edges(buckets) ** 2)
    matches = match(truth, detections, ranges=ranges, iou_type=iou_type)
    everything = np.ones((1, counts.shape[1]), dtype=counts.dtype)
    ap = resampled_ap(matches, np.concatenate([everything, counts]))  # (A, T, 1 + R)
    mean = ap.mean(axis=1)
    metric_rows = {"AP": mean[0], "AP_50": ap[0, 0], "AP_75": ap[0, 5]}
    metric_rows |= {name: mean[i + 1] for name, i in bucket_metrics(buckets).items()}
    table = np.concatenate([np.array(list(metric_rows.values())), mean[len(buckets) + 1 :]])
    images = np.array([len(np.unique(matches.object_image[counted])) for counted in matches.counts])
    of_metric = [0, 0, 0, *(i + 1 for i in bucket_metrics(buckets).values())]
    items = np.concatenate([images[of_metric], images[len(buckets) + 1 :]])
    return Resampled(tuple(metric_rows), table[:, 0], table[:, 1:], items)
