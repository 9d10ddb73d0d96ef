"""Bins of object size for AP against sqrt(area)."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from fpnprobe.evaluation.ground_truth import Floats, GroundTruth
from fpnprobe.evaluation.ranges import half_open
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket


def size_edges(buckets: Sequence[ScaleBucket] = COCO_BUCKETS) -> Floats:
    """Choose bin borders in px of sqrt(area), from 0 to inf; every bucket border is one.

    Quarters of the first border, a quarter and a half of the way between two borders, and 4/3, 2,
    8/3 and 4 times the last one.

    >>> size_edges(COCO_BUCKETS).tolist()
    [0.0, 8.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0, 384.0, inf]
    """
    borders = np.sqrt([bucket.high for bucket in buckets[:-1]])
    if not len(borders):
        borders = np.sqrt([bucket.high for bucket in COCO_BUCKETS[:-1]])
    edges = [borders[0] * factor for factor in (0, 0.25, 0.5, 0.75)]
    for low, high in pairwise(borders):
        edges += [low, low + (high - low) / 4, low + (high - low) / 2]
    edges += [borders[-1] * factor for factor in (1, 4 / 3, 2, 8 / 3, 4)]
    return np.array([*edges, np.inf], dtype=np.float64)


def bin_table(truth: GroundTruth, edges: Floats) -> pd.DataFrame:
    """One row per bin: `low`, `high`, `sqrt_area` (px) and `n_objects` (crowds left out).

    `sqrt_area` is the mean over the bin's objects, or the middle of a bin without objects.
    """
    side = np.sqrt(truth.areas[~truth.crowd])
    rows = []
    for (low, high), (first, last) in zip(pairwise(edges), half_open(edges**2), strict=True):
        inside = side[(side**2 >= first) & (side**2 <= last)]
        middle = (low + high) / 2 if np.isfinite(high) else float(low)
        rows.append((low, high, float(inside.mean()) if len(inside) else middle, len(inside)))
    return pd.DataFrame(rows, columns=["low", "high", "sqrt_area", "n_objects"])
