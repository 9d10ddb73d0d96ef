"""The six error types of TIDE (Bolya et al., ECCV 2020), by size of object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.evaluation.bootstrap.average_precision import resampled_ap
from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import Bools, Floats, GroundTruth, Ints
from fpnprobe.evaluation.masks import check_iou_type
from fpnprobe.evaluation.matching.greedy import HIT, IGNORED, MISS, Matches, match
from fpnprobe.evaluation.matching.overlap import Pairs, overlapping
from fpnprobe.evaluation.ranges import area_ranges
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, check_buckets

ERRORS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
_FOREGROUND, _BACKGROUND = 0.5, 0.1  # TIDE's IoU thresholds


def error_types(
    annotations: str | Path | Mapping[str, Any] | GroundTruth,
    detections: str | Path | Sequence[Any] | Detections,
    *,
    iou_type: str = "bbox",
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
) -> pd.DataFrame:
    """Measure how AP_50 would rise if one type of error were mended, for all and per bucket.

    A false positive is, in this order: `Loc` (IoU .1 to .5 with an object of its class), `Cls`
    (IoU >= .5 with an object of another class), `Dupe` (IoU >= .5 with one already found), `Bkg`
    (IoU <= .1 with all), else `Both`. Mending `Cls` or `Loc` turns the best claim on a free object
    (of both types together, as in TIDE) into a hit and drops the others; mending `Both`, `Dupe`
    or `Bkg` drops the detection; mending `Miss` forgets the objects that no detection found or
    claimed. In a bucket, objects and unmatched detections of other areas are ignored, as in AP_S,
    AP_M and AP_L; crowds count for nothing. The gains do not add up: each is measured alone.

    Returns:
        `bucket` ("all", then the buckets), `error`, `d_ap` in [0, 1] (NaN without objects) and
        `count` of errors.
    """
    check_iou_type(iou_type)
    buckets = check_buckets(buckets)
    truth = GroundTruth.of(annotations, iou_type=iou_type)
    scored = Detections.of(detections, ground_truth=truth, iou_type=iou_type)
    matches = match(
        truth,
        scored,
        ranges=area_ranges(buckets),
        iou_type=iou_type,
        thresholds=np.array([_FOREGROUND]),
    )
    pairs = overlapping(truth, scored, iou_type=iou_type, least=_BACKGROUND, across_categories=True)
    counted = ~truth.crowd[pairs.truth]
    pairs = Pairs(pairs.detection[counted], pairs.truth[counted], pairs.iou[counted])
    frames = []
    for area, name in enumerate(["all", *(bucket.name for bucket in buckets)]):
        in_range = replace(
            matches,
            outcome=matches.outcome[[area]],
            counts=matches.counts[[area]],
            taken=matches.taken[[area]],
        )
        frames.append(_measure_gains(in_range, truth, scored, pairs).assign(bucket=name))
    return pd.concat(frames, ignore_index=True)[["bucket", "error", "d_ap", "count"]]


@dataclass(frozen=True, slots=True)
class _Best:
    """Largest IoU of each detection with some of the objects, and that object (-1: none)."""

    iou: Floats
    truth: Ints

    @classmethod
    def of(cls, pairs: Pairs, selected: Bools, detections: int) -> "_Best":
        iou, truth = np.zeros(detections), np.full(detections, -1)
        by_iou = np.flatnonzero(selected)
        by_iou = by_iou[np.argsort(pairs.iou[by_iou], kind="stable")]  # the last write wins
        iou[pairs.detection[by_iou]] = pairs.iou[by_iou]
        truth[pairs.detection[by_iou]] = pairs.truth[by_iou]
        return cls(iou, truth)


def _measure_gains(
    matches: Matches, truth: GroundTruth, detections: Detections, pairs: Pairs
) -> pd.DataFrame:
    """One row per error for the only area range and threshold of `matches`."""
    counts, matched_objects = matches.counts[0], matches.taken[0, 0]
    same = truth.category[pairs.truth] == detections.category[pairs.detection]
    best_in_class = _Best.of(pairs, same, len(detections))
    best_of_other_class = _Best.of(pairs, ~same, len(detections))
    best_on_matched = _Best.of(pairs, same & matched_objects[pairs.truth], len(detections))
    wrong = np.zeros(len(detections), dtype=bool)
    wrong[matches.file_order] = matches.outcome[0, 0] == MISS
    kinds = {
        "Loc": (best_in_class.truth >= 0) & (best_in_class.iou <= _FOREGROUND),
        "Cls": best_of_other_class.iou >= _FOREGROUND,
        "Dupe": best_on_matched.iou >= _FOREGROUND,
        "Bkg": np.maximum(best_in_class.iou, best_of_other_class.iou) <= _BACKGROUND,
        "Both": np.ones(len(detections), dtype=bool),
    }
    errors: dict[str, Bools] = {}
    for name, mask in kinds.items():  # in TIDE's order: the first that fits
        errors[name] = wrong & mask
        wrong = wrong & ~mask
    missed = counts & ~matched_objects
    missed[best_in_class.truth[errors["Loc"]]] = False
    missed[best_of_other_class.truth[errors["Cls"]]] = False
    target = np.where(errors["Loc"], best_in_class.truth, best_of_other_class.truth)
    best = _best_claims(
        detections, errors["Loc"] | errors["Cls"], target, free=counts & ~matched_objects
    )
    mended = {
        **{
            name: _turn_claims_into_hits(matches, truth, detections, errors[name], best)
            for name in ("Cls", "Loc")
        },
        **{name: _drop_errors(matches, errors[name]) for name in ("Both", "Dupe", "Bkg")},
        "Miss": replace(matches, counts=(counts & ~missed)[None]),
    }
    base = _summed_ap(matches)
    kinds_with_objects = len(np.unique(truth.category[counts]))
    size = {name: int(mask.sum()) for name, mask in errors.items()} | {"Miss": int(missed.sum())}
    return pd.DataFrame(
        {
            "error": ERRORS,
            "d_ap": [
                (_summed_ap(mended[name]) - base) / kinds_with_objects
                if kinds_with_objects
                else np.nan
                for name in ERRORS
            ],
            "count": [size[name] for name in ERRORS],
        }
    )


def _summed_ap(matches: Matches) -> float:
    """Return the AP summed over categories, so that one which loses all its objects counts as 0."""
    ap = float(resampled_ap(matches, np.ones((1, matches.images), dtype=np.int32))[0, 0, 0])
    kinds = len(np.unique(matches.object_category[matches.counts[0]]))
    return ap * kinds if kinds else 0.0


def _drop_errors(matches: Matches, error: Bools) -> Matches:
    outcome = matches.outcome.copy()
    outcome[0, 0, error[matches.file_order]] = IGNORED
    return replace(matches, outcome=outcome)


def _best_claims(detections: Detections, claims: Bools, target: Ints, *, free: Bools) -> Ints:
    """For each object the detection of best score that claims it, if it is free; -1 elsewhere."""
    claimants = np.flatnonzero(claims)
    claimants = claimants[free[target[claimants]]]
    claimants = claimants[np.argsort(detections.scores[claimants], kind="stable")]
    best = np.full(len(free), -1)
    best[target[claimants]] = claimants  # the last write wins
    return best


def _turn_claims_into_hits(
    matches: Matches, truth: GroundTruth, detections: Detections, error: Bools, best: Ints
) -> Matches:
    """Errors that are the best claim on an object become hits of its class, the others go."""
    order = matches.file_order
    objects = np.flatnonzero(best >= 0)
    objects = objects[error[best[objects]]]
    mended: Ints = np.full(len(detections), -1)
    mended[best[objects]] = truth.category[objects]
    mended = mended[order]
    outcome = matches.outcome.copy()
    outcome[0, 0, error[order]] = IGNORED
    outcome[0, 0, mended >= 0] = HIT
    category = np.where(mended >= 0, mended, matches.category)
    again = np.lexsort((matches.image, -detections.scores[order], category))
    return replace(
        matches,
        outcome=outcome[:, :, again],
        category=category[again],
        image=matches.image[again],
        file_order=order[again],
    )
