"""How often intervals over images hold the truth: synthetic detections of a known population.

Reports have the expanded percentile interval (Hesterberg, 2015). Beside it are tried the plain
percentiles, BCa (Efron, 1987), and Student's t with the jackknife's standard error.

`python -m tests.unit.evaluation.bootstrap.coverage 600 200` prints, for 600 sets of 200 images, how
often the interval of each kind holds B's gain over A. It takes half a second a set.
"""

import sys

import numpy as np
import numpy.typing as npt
from scipy import stats

from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import GroundTruth
from fpnprobe.evaluation.resampling import resample
from fpnprobe.statistics import percentile_interval, resample_counts

METRICS = ("AP", "AP_S", "AP_M", "AP_L")
KINDS = ("expanded", "percentile", "bca", "jackknife")
POPULATION, KINDS_OF_OBJECTS = 60_000, 3
_ODDS = ((-0.2, 0.6, 1.4), (0.2, 0.75, 1.05))
"""How easily A and B find small, medium and large objects."""

Interval = tuple[float, float]


def bca_interval(
    value: float, drawn: npt.NDArray[np.float64], left_out: npt.NDArray[np.float64]
) -> Interval:
    """Bias-corrected and accelerated interval of bootstrap and jackknife values."""
    below = (np.sum(drawn < value) + 0.5 * np.sum(drawn == value)) / len(drawn)
    if not 0 < below < 1:
        return percentile_interval(drawn)
    moved = left_out.mean() - left_out
    a = float(np.sum(moved**3)) / (6 * float(np.sum(moved**2)) ** 1.5)
    z0, z = float(stats.norm.ppf(below)), float(stats.norm.ppf(0.975))
    places = [stats.norm.cdf(z0 + (z0 + at) / (1 - a * (z0 + at))) for at in (-z, z)]
    low, high = np.quantile(drawn, places)
    return float(low), float(high)


def jackknife_interval(value: float, left_out: npt.NDArray[np.float64], items: int) -> Interval:
    """Student's t with the standard error of leaving out one image at a time."""
    n = len(left_out)
    error = np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))
    half = float(stats.t.ppf(0.975, items - 1) * error)
    return value - half, value + half


def world(images: int, *, seed: int) -> tuple[GroundTruth, Detections, Detections]:
    """Images with objects of all sizes, and two detectors that share what is hard to find."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), 1 + rng.poisson(2.0, images))
    n = len(image)
    side = np.exp(rng.uniform(np.log(10), np.log(220), n))
    kind = rng.integers(0, KINDS_OF_OBJECTS, n)
    left = 600.0 * (np.arange(n) - np.searchsorted(image, image))
    boxes = np.column_stack([left, np.full(n, 10.0), side, side])
    truth = GroundTruth(
        image_ids=np.arange(images),
        sizes=np.full((images, 2), 20_000),
        category_ids=np.arange(1, KINDS_OF_OBJECTS + 1),
        category_names=("ring", "square", "star"),
        image=image,
        category=kind,
        boxes=boxes,
        areas=side**2,
        crowd=np.zeros(n, dtype=bool),
        segmentations=(None,) * n,
    )
    ease = rng.normal(0, 0.6, images)[image] + rng.normal(0, 1, n)
    pair = []
    for odds in np.array(_ODDS):
        found = ease + odds[np.digitize(side, [32, 96])] + rng.normal(0, 0.3, n) > 0
        shift = 0.1 * side * rng.normal(0, 1, n) * (1.2 - 0.3 * np.tanh(ease))
        score = 1 / (1 + np.exp(-ease - rng.normal(0, 0.7, n)))
        elsewhere = np.repeat(np.arange(images), rng.poisson(np.full(images, 0.8)))
        m = len(elsewhere)
        size = np.exp(rng.uniform(np.log(10), np.log(220), m))
        wrong = np.column_stack([rng.uniform(0, 1000, m), np.full(m, 5000.0), size, size])
        every = np.concatenate([(boxes + shift[:, None] * [1, 0, 0, 0])[found], wrong])
        kinds = np.concatenate([kind[found], rng.integers(0, KINDS_OF_OBJECTS, m)])
        pair.append(
            Detections(
                image=np.concatenate([image[found], elsewhere]),
                category=kinds,
                boxes=every,
                areas=every[:, 2] * every[:, 3],
                scores=np.concatenate([score[found], rng.beta(1.2, 3, m)]),
                masks=(),
            )
        )
    return truth, pair[0], pair[1]


def coverage(
    sets: int, *, images: int, resamples: int = 1000, population: int = POPULATION
) -> dict[str, dict[str, float]]:
    """Share of the intervals of B's gain that hold that of the population, by kind and metric."""
    everything = np.ones((1, population), dtype=np.int32)
    values, _, _ = _gains(world(population, seed=7), everything)
    held = {kind: dict.fromkeys(METRICS, 0) for kind in KINDS}
    left_out = (1 - np.eye(images)).astype(np.int32)
    for at in range(sets):
        draws = resample_counts(images, resamples=resamples, seed=at)
        here, samples, items = _gains(
            world(images, seed=1000 + at), np.concatenate([draws, left_out])
        )
        for place, metric in enumerate(METRICS):
            drawn, jackknife = samples[place, :resamples], samples[place, resamples:]
            intervals = (
                percentile_interval(drawn, items=int(items[place])),
                percentile_interval(drawn),
                bca_interval(here[place], drawn, jackknife),
                jackknife_interval(here[place], jackknife, int(items[place])),
            )
            for kind, (low, high) in zip(KINDS, intervals, strict=True):
                held[kind][metric] += bool(low <= values[place] <= high)
    return {
        kind: {metric: count / sets for metric, count in counts.items()}
        for kind, counts in held.items()
    }


def _gains(
    pair: tuple[GroundTruth, Detections, Detections], counts: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """B's gain over A by metric, the same under each draw, and how many images hold objects."""
    truth, a, b = pair
    first, second = (resample(truth, each, counts=counts, curve=False) for each in (a, b))
    at = [first.names.index(metric) for metric in METRICS]
    return (
        (second.values - first.values)[at],
        (second.samples - first.samples)[at],
        first.items[at],
    )


if __name__ == "__main__":
    for kind, found in coverage(int(sys.argv[1]), images=int(sys.argv[2])).items():
        print(kind, {metric: round(rate, 3) for metric, rate in found.items()})
