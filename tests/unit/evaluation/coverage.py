"""How often the bootstrap's intervals hold the truth: synthetic detections of a known population.

The percentile interval is the one that reports have; BCa (Efron, 1987) is tried beside it.

`python -m tests.unit.evaluation.coverage 700` prints the coverage of both kinds of interval.
"""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import GroundTruth
from fpnprobe.evaluation.resampling import resample
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.statistics import CONFIDENCE, percentile_interval, resample_counts

POOL, IMAGES, RESAMPLES = 4000, 200, 200
METRICS = ("AP", "AP_S", "AP_M", "AP_L")
_FOUND = ({"S": 0.45, "M": 0.65, "L": 0.8}, {"S": 0.55, "M": 0.68, "L": 0.74})


def bca_interval(
    value: float,
    samples: npt.ArrayLike,
    jackknife: npt.ArrayLike,
    *,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval (Efron, 1987), for lopsided samples.

    The percentiles that are taken are moved by how far the samples lie to one side of the value
    (`z0`) and by the skewness of what single images do to it (`a`), and widened by
    sqrt(n / (n - 1)) and Student's t, as small sets need (Hesterberg, 2015).

    Args:
        value: of the whole set.
        samples: the same under each resample.
        jackknife: the same with each image (or group of images) left out.
        confidence: that the interval should have.
    """
    drawn = np.asarray(samples, dtype=np.float64)
    drawn = drawn[np.isfinite(drawn)]
    left_out = np.asarray(jackknife, dtype=np.float64)
    left_out = left_out[np.isfinite(left_out)]
    if not len(drawn) or len(left_out) < 3 or not np.isfinite(value):
        return percentile_interval(drawn, confidence=confidence)
    below = (np.sum(drawn < value) + 0.5 * np.sum(drawn == value)) / len(drawn)
    if not 0 < below < 1 or drawn.min() == drawn.max():
        return percentile_interval(drawn, confidence=confidence)
    moved = left_out.mean() - left_out
    spread = float(np.sum(moved**2)) ** 1.5
    a = float(np.sum(moved**3)) / (6 * spread) if spread > 0 else 0.0
    z0, n = float(stats.norm.ppf(below)), len(left_out)
    wide = np.sqrt(n / (n - 1)) * float(stats.t.ppf(0.5 + confidence / 2, n - 1))
    places = [float(stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))) for z in (-wide, wide)]
    low, high = np.quantile(drawn, places)
    return float(low), float(high)


def population(seed: int) -> tuple[list[Any], list[Any], tuple[list[Any], list[Any]]]:
    """Images, annotations, and the detections of two detectors that share their hard objects."""
    rng = np.random.default_rng(seed)
    images: list[Any] = [{"id": i} for i in range(POOL)]
    annotations: list[Any] = []
    detections: tuple[list[Any], list[Any]] = ([], [])
    for image in range(POOL):
        ease = rng.normal(0, 0.6)
        for _ in range(1 + rng.poisson(2.0)):
            side = float(np.exp(rng.uniform(np.log(10), np.log(220))))
            size = "S" if side < 32 else "M" if side < 96 else "L"
            x, y = (float(v) for v in rng.uniform(0, 400, 2))
            kind = int(rng.integers(1, 4))
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": kind,
                 "bbox": [x, y, side, side], "area": side * side, "iscrowd": 0}
            )  # fmt: skip
            hard = rng.normal(ease, 1.0)
            for at, odds in enumerate(_FOUND):
                if 1 / (1 + np.exp(-hard)) < 1 - odds[size] + rng.normal(0, 0.1):
                    continue
                dx, dy = (float(v) for v in rng.normal(0, 0.08 * side, 2))
                score = float(1 / (1 + np.exp(-hard - rng.normal(0, 0.7))))
                detections[at].append(
                    {"image_id": image, "category_id": kind, "bbox": [x + dx, y + dy, side, side],
                     "score": score}
                )  # fmt: skip
        for at in (0, 1):
            for _ in range(rng.poisson(0.8)):
                side = float(np.exp(rng.uniform(np.log(10), np.log(220))))
                x, y = (float(v) for v in rng.uniform(0, 400, 2))
                detections[at].append(
                    {"image_id": image, "category_id": int(rng.integers(1, 4)),
                     "bbox": [x, y, side, side], "score": float(rng.beta(1.2, 3.0))}
                )  # fmt: skip
    return images, annotations, detections


def coverage(repetitions: int, *, seed: int = 0) -> dict[str, dict[str, float]]:
    """Share of intervals of B's gain over A that hold that of the population, by kind."""
    images, annotations, both = population(seed)
    categories = [{"id": kind} for kind in (1, 2, 3)]
    where = {name: {} for name in ("annotations", "a", "b")}  # type: dict[str, dict[int, list[Any]]]
    for name, rows in (("annotations", annotations), ("a", both[0]), ("b", both[1])):
        for row in rows:
            where[name].setdefault(row["image_id"], []).append(row)

    def gains(chosen: Any, counts: Any) -> tuple[Any, Any]:
        truth = GroundTruth.of(
            {
                "images": [images[i] for i in chosen], "categories": categories,
                "annotations": [row for i in chosen for row in where["annotations"].get(i, [])],
            }
        )  # fmt: skip
        pair = [
            resample(
                truth,
                Detections.of(
                    [row for i in chosen for row in where[name].get(i, [])],
                    ground_truth=truth,
                    iou_type="bbox",
                ),
                counts=counts,
                iou_type="bbox",
                buckets=COCO_BUCKETS,
            )
            for name in ("a", "b")
        ]
        at = [pair[0].names.index(metric) for metric in METRICS]
        return (pair[1].values - pair[0].values)[at], (pair[1].samples - pair[0].samples)[at]

    truth, _ = gains(range(POOL), np.ones((2, POOL), dtype=np.int32))
    rng = np.random.default_rng(seed + 1)
    held = {kind: dict.fromkeys(METRICS, 0) for kind in ("percentile", "bca")}
    for repetition in range(repetitions):
        chosen = sorted(rng.choice(POOL, IMAGES, replace=False).tolist())
        draws = resample_counts(IMAGES, resamples=RESAMPLES, seed=repetition)
        left_out = (1 - np.eye(IMAGES)).astype(np.int32)
        values, samples = gains(chosen, np.concatenate([draws, left_out]))
        for at, metric in enumerate(METRICS):
            drawn, jackknife = samples[at, :RESAMPLES], samples[at, RESAMPLES:]
            for kind, (low, high) in (
                ("percentile", percentile_interval(drawn)),
                ("bca", bca_interval(values[at], drawn, jackknife)),
            ):
                held[kind][metric] += bool(low <= truth[at] <= high)
    return {
        kind: {metric: count / repetitions for metric, count in counts.items()}
        for kind, counts in held.items()
    }


if __name__ == "__main__":
    for kind, found in coverage(int(sys.argv[1])).items():
        print(kind, found)
