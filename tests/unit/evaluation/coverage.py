"""How often the bootstrap's intervals hold the truth: synthetic detections of a known population.

`python -m tests.unit.evaluation.coverage 700` prints the coverage of both kinds of interval.
"""

import sys
from typing import Any

import numpy as np

from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import GroundTruth
from fpnprobe.evaluation.resampling import resample
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.statistics import bca_interval, percentile_interval, resample_counts

POOL, IMAGES, RESAMPLES = 4000, 200, 200
METRICS = ("AP", "AP_S", "AP_M", "AP_L")
_FOUND = ({"S": 0.45, "M": 0.65, "L": 0.8}, {"S": 0.55, "M": 0.68, "L": 0.74})


def population(seed: int) -> tuple[list[Any], list[Any], tuple[list[Any], list[Any]]]:
    """Images, annotations, and the detections of two detectors that share their hard objects."""
    rng = np.random.default_rng(seed)
    images, annotations = [{"id": i} for i in range(POOL)], []
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
