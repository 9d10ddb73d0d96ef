"""COCO's greedy matching, for all images, thresholds and area ranges at once."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import Bools, Floats, GroundTruth, Ints
from fpnprobe.evaluation.matching.overlap import Pairs, overlapping
from fpnprobe.evaluation.ranges import IOU_THRESHOLDS, MAX_DETECTIONS, AreaRange

HIT, MISS, IGNORED = 1, 0, -1
_BLOCK = 20_000  # pairs

Outcomes = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Matches:
    """The outcome of every detection, sorted by category, falling score, image and file order.

    `outcome` (A, T, D) is `HIT` (true positive), `MISS` (false positive) or `IGNORED` for each
    area range and IoU threshold; `counts` (A, G) says which objects a range counts and `taken`
    (A, T, G) which were matched. `file_order` (D,) finds the detection in `Detections`.
    """

    images: int
    categories: int
    image: Ints
    category: Ints
    outcome: Outcomes
    object_image: Ints
    object_category: Ints
    counts: Bools
    taken: Bools
    file_order: Ints


def match(
    truth: GroundTruth,
    detections: Detections,
    *,
    ranges: list[AreaRange],
    iou_type: str = "bbox",
    thresholds: Floats = IOU_THRESHOLDS,
) -> Matches:
    """Match as pycocotools does, per image and category, best score first.

    A detection takes the object of highest IoU that is free and counts; if none does, an ignored
    one (crowds are never used up). Of equal IoUs the last object in file order wins. Only the
    100 best detections of an image and category take part.
    """
    area = truth.areas
    counts = np.array([(area >= low) & (area <= high) & ~truth.crowd for low, high in ranges])
    order, rank = _rank_detections(detections, len(truth.category_ids))
    outcome = np.zeros((len(ranges), len(thresholds), len(detections)), dtype=np.int8)
    matched_objects = np.zeros((*outcome.shape[:2], len(area)), dtype=bool)
    pairs = overlapping(truth, detections, iou_type=iou_type, least=float(thresholds.min()) - 1e-9)
    if len(pairs.detection):
        # As in pycocotools' evaluateImg, so that an IoU of 1 passes a threshold of 1.
        capped = np.minimum(thresholds, 1 - 1e-10)
        _assign_objects(pairs, rank, counts, truth.crowd, capped, outcome, matched_objects)
    outside = np.array(
        [(detections.areas < low) | (detections.areas > high) for low, high in ranges]
    )
    outcome[(outcome == MISS) & outside[:, None, :]] = IGNORED
    return Matches(
        images=len(truth.image_ids),
        categories=len(truth.category_ids),
        image=detections.image[order],
        category=detections.category[order],
        outcome=np.ascontiguousarray(outcome[:, :, order]),
        object_image=truth.image,
        object_category=truth.category,
        counts=counts,
        taken=matched_objects,
        file_order=order,
    )


def _rank_detections(detections: Detections, categories: int) -> tuple[Ints, Ints]:
    """Order by category, falling score, image, file; and each one's rank, -1 beyond the limit."""
    key = detections.image * categories + detections.category
    order = np.lexsort((-detections.scores, key))  # stable: file order breaks ties
    grouped = key[order]
    first = np.searchsorted(grouped, grouped, side="left")
    rank = np.empty(len(detections), dtype=np.int64)
    rank[order] = np.arange(len(detections)) - first
    rank[rank >= MAX_DETECTIONS[-1]] = -1
    ranked_rows = np.flatnonzero(rank >= 0)
    # File order breaks ties within an image through the rank, images go in the order of their ids.
    sort = np.lexsort(
        (
            rank[ranked_rows],
            detections.image[ranked_rows],
            -detections.scores[ranked_rows],
            detections.category[ranked_rows],
        )
    )
    return ranked_rows[sort], rank


def _find_block_borders(d: Ints, rank: Ints) -> Ints:
    """Find borders of runs of pairs of one rank that share no group; cut long runs (memory)."""
    ranks = np.flatnonzero(np.diff(rank[d], prepend=-1, append=-1))
    starts = np.flatnonzero(np.diff(d, prepend=-1))
    cuts = starts[np.searchsorted(starts, np.arange(0, starts[-1] + 1, _BLOCK))]
    borders: Ints = np.unique(np.concatenate([ranks, cuts]))
    return borders


def _assign_objects(
    pairs: Pairs,
    rank: Ints,
    counts: Bools,
    crowd: Bools,
    thresholds: Floats,
    outcome: Outcomes,
    matched_objects: Bools,
) -> None:
    """Fill `outcome` and `matched_objects`: the best detection of all groups, then the second."""
    d, g, iou = pairs.detection, pairs.truth, pairs.iou
    # Within a detection the pairs go from worst to best, so the last possible one wins.
    order = np.lexsort((g, iou, d, rank[d]))
    order = order[rank[d[order]] >= 0]
    d, g, iou = d[order], g[order], iou[order]
    worth = np.arange(1, len(d) + 1, dtype=np.int32)
    prefer = np.int32(len(d) + 1)
    for low, high in pairwise(_find_block_borders(d, rank)):
        objects = g[low:high]
        starts = np.flatnonzero(np.diff(d[low:high], prepend=-1))
        free = (~matched_objects[:, :, objects] | crowd[objects]) & (
            iou[low:high] >= thresholds[:, None]
        )  # (A, T, P)
        value = (worth[low:high] + prefer * counts[:, objects])[:, None, :] * free
        best = np.maximum.reduceat(value, starts, axis=2)  # (A, T, detections)
        won = best > 0
        winner = np.where(won, (best - 1) % prefer, low) - low  # worth is unique: the pair itself
        a, t, k = np.nonzero(won)
        matched_objects[a, t, objects[winner[a, t, k]]] = True
        detections = d[low:high][starts]
        outcome[:, :, detections] = np.where(best > prefer, HIT, np.where(won, IGNORED, MISS))
