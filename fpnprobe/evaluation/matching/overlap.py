"""Overlaps of detections with objects, as the list of pairs that overlap enough to matter."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pycocotools import mask as rle

from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import Floats, GroundTruth, Ints
from fpnprobe.evaluation.masks import encode


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a detection and an object, by detection, then object.

    Attributes:
        detection: Row of the detection, (P,).
        truth: Row of the object, (P,).
        iou: Their IoU, (P,). With a crowd region the denominator is the detection's own area, as
            in pycocotools.
    """

    detection: Ints
    truth: Ints
    iou: Floats


def overlapping(
    truth: GroundTruth,
    detections: Detections,
    *,
    iou_type: str,
    least: float,
    across_categories: bool = False,
) -> Pairs:
    """Pair detections with the objects of their image.

    Args:
        truth: Annotations.
        detections: Detections on the same images.
        iou_type: `bbox` or `segm`.
        least: Least IoU of a pair.
        across_categories: Whether the two may be of different categories.

    >>> boxes = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}
    >>> truth = GroundTruth.of({"images": [{"id": 1}], "categories": [{"id": 1}],
    ...     "annotations": [{**boxes, "bbox": [0, 0, 10, 5], "area": 50}]})
    >>> detections = Detections.of([{**boxes, "score": 1.0}], ground_truth=truth)
    >>> overlapping(truth, detections, iou_type="bbox", least=0.1).iou.tolist()
    [0.5]
    """
    categories = 1 if across_categories else len(truth.category_ids)
    truth_key = truth.image * categories + (0 if across_categories else truth.category)
    found_key = detections.image * categories + (0 if across_categories else detections.category)
    by_key = np.argsort(truth_key, kind="stable")
    start = np.searchsorted(truth_key[by_key], found_key, side="left")
    count = np.searchsorted(truth_key[by_key], found_key, side="right") - start
    d = np.repeat(np.arange(len(detections)), count)
    offset = np.arange(len(d)) - np.repeat(np.cumsum(count) - count, count)
    g = by_key[np.repeat(start, count) + offset]
    iou = (
        _mask_iou(truth, detections, d, g)
        if iou_type == "segm"
        else _box_iou(truth, detections, d, g)
    )
    overlaps = iou >= least
    return Pairs(d[overlaps], g[overlaps], iou[overlaps])


def _box_iou(truth: GroundTruth, detections: Detections, d: Ints, g: Ints) -> Floats:
    a, b = detections.boxes[d], truth.boxes[g]
    size = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    inner = np.where((size > 0).all(axis=1), size[:, 0] * size[:, 1], 0.0)
    area, other = a[:, 2] * a[:, 3], b[:, 2] * b[:, 3]
    union = np.where(truth.crowd[g], area, area + other - inner)
    return np.asarray(np.divide(inner, union, out=np.zeros_like(inner), where=inner > 0))


def _mask_iou(truth: GroundTruth, detections: Detections, d: Ints, g: Ints) -> Floats:
    """One call of the encoder's IoU per detection and its objects."""
    iou = np.zeros(len(d))
    if not len(d):
        return iou
    sizes = truth.sizes[truth.image]
    objects_with_pairs = np.unique(g)
    codes = dict(
        zip(
            objects_with_pairs.tolist(),
            encode(
                [truth.segmentations[i] for i in objects_with_pairs],
                sizes[objects_with_pairs],
                "the annotations",
            ),
            strict=True,
        )
    )
    borders = np.flatnonzero(np.diff(d, prepend=-1, append=-1))
    for low, high in pairwise(borders):
        objects = g[low:high]
        iou[low:high] = rle.iou(
            [detections.masks[d[low]]],
            [codes[int(i)] for i in objects],
            truth.crowd[objects].astype(np.uint8).tolist(),
        )[0]
    return iou
