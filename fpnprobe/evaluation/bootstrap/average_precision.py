"""Average precision of many bootstrap resamples at once, exact, from one matching.

A resample draws image i `w_i` times, which is the data set with `w_i` adjacent copies of it. Copies
of a true positive only add points of rising precision, copies of a false positive none where
precision is read, so it is enough to follow the true positives in order of score: with `c_k` the
weighted number of hits up to the k-th and `n_k` that of all counted detections,

    AP = sum_k max_(j >= k)(c_j / n_j) * (F(c_k) - F(c_(k-1))) / 101,

where `F(c)` counts the recall points <= c / (weighted number of objects). The result equals the
evaluator's on the copied data set; only tied scores within one image and category may come in
another order.
"""

import numpy as np
import numpy.typing as npt

from fpnprobe.evaluation.bootstrap.row_index import Block, blocks_of
from fpnprobe.evaluation.bootstrap.scans import falling_maximum, running_sums
from fpnprobe.evaluation.ground_truth import Floats, Ints
from fpnprobe.evaluation.matching.greedy import Matches
from fpnprobe.evaluation.ranges import RECALL_POINTS

_COLUMNS = 64  # resamples worked on together: a block's rows should stay in the processor's cache
_STEPS = len(RECALL_POINTS) - 1
# A recall point j / 100 as a float may lie a bit above the quotient that should reach it.
_REACHED = np.arange(_STEPS + 1) / _STEPS >= RECALL_POINTS

Counts = npt.NDArray[np.int32]


def resampled_ap(matches: Matches, counts: npt.NDArray[np.integer]) -> Floats:
    """Compute AP by area range, IoU threshold and resample: the mean over categories with objects.

    Args:
        matches: One matching.
        counts: (R, images) how often each image is drawn.

    Returns:
        (A, T, R) in [0, 1]; NaN where no category has an object.
    """
    blocks = blocks_of(matches)
    areas, thresholds = matches.outcome.shape[:2]
    total = np.zeros((areas, thresholds, len(counts)))
    present = np.zeros((areas, 1, len(counts)))
    for low in range(0, len(counts), _COLUMNS):
        columns = slice(low, low + _COLUMNS)
        drawn = np.ascontiguousarray(counts[columns].T, dtype=np.int32)  # (images, R)
        for block in blocks:
            objects = np.add.reduceat(drawn.take(block.objects, axis=0), block.object_starts)
            present[block.area, 0, columns] += (objects > 0).sum(axis=0)
            if len(block.hits):
                precision = _segment_precision(block, drawn, objects)
                np.add.at(total[block.area, :, columns], block.threshold, precision)
    return np.asarray(np.divide(total, present, out=np.full_like(total, np.nan), where=present > 0))


def _segment_precision(block: Block, drawn: Counts, objects: Counts) -> Floats:
    """Return the AP of each (threshold, category) segment of a block, (segments, R)."""
    sums = running_sums(drawn.take(block.hits, axis=0))
    hits = sums[1:] - sums.take(block.hits_before, axis=0)
    counted = _sums_between(_base_sums(block, drawn), block.base_to, block.base_before)
    if len(block.extra):
        extra = running_sums(drawn.take(block.extra, axis=0))
        counted += _sums_between(extra, block.extra_to, block.extra_before)
    precision = hits / (counted + np.spacing(1))
    # Every segment stands on its own step, so that one falling maximum serves them all.
    step = 2.0 * (len(block.first) - block.segment)[:, None]
    precision += step
    falling_maximum(precision)
    precision -= step
    precision *= _recall_points_gained(block, hits, objects)
    return np.asarray(np.add.reduceat(precision, block.first, axis=0) / len(RECALL_POINTS))


def _base_sums(block: Block, drawn: Counts) -> Counts:
    if not len(block.base):
        return np.zeros((1, drawn.shape[1]), dtype=drawn.dtype)
    return running_sums(np.add.reduceat(drawn.take(block.base, axis=0), block.base_starts))


def _sums_between(sums: Counts, to: Ints, before: Ints) -> Counts:
    window_sums = sums.take(to, axis=0)
    window_sums -= sums.take(before, axis=0)
    return window_sums


def _recall_points_gained(block: Block, hits: Counts, objects: Counts) -> Floats:
    """Return the recall points that each hit is the first to reach, `F(c_k) - F(c_(k-1))`."""
    sizes = objects.max(axis=1) + 1
    starts = np.cumsum(sizes) - sizes
    kind = np.repeat(np.arange(len(sizes)), sizes)
    level = np.arange(len(kind)) - starts[kind]
    table = (float(_STEPS) * level)[:, None] / np.maximum(objects, 1).take(kind, axis=0)
    whole = np.floor(table)
    # A count that lies exactly on a recall point reaches it only if it does so in floating point.
    late = (whole == table) & ~_REACHED[np.minimum(whole, _STEPS).astype(np.int64)]
    table = whole + 1 - late
    entry = hits + starts[block.kind].astype(np.int32)[:, None]
    entry *= entry.shape[1]
    entry += np.arange(entry.shape[1], dtype=np.int32)
    reached: Floats = table.ravel().take(entry, mode="wrap")
    passed = reached.copy()
    passed[1:] -= reached[:-1]
    passed[block.first] = reached[block.first]
    return passed
