"""The bootstrap equals evaluating each resample as the data set it is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fpnprobe.bench.evaluation import run
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import Detections, GroundTruth, compare, evaluate, size_curve
from fpnprobe.evaluation.bootstrap.average_precision import resampled_ap
from fpnprobe.evaluation.bootstrap.reference import copied
from fpnprobe.evaluation.bootstrap.scans import falling_maximum, running_sums
from fpnprobe.evaluation.generated import as_documents, generate
from fpnprobe.evaluation.matching.greedy import match
from fpnprobe.evaluation.ranges import area_ranges, half_open
from fpnprobe.evaluation.resampling import resample
from fpnprobe.evaluation.size_bins import bin_table, size_edges
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket
from fpnprobe.statistics import percentile_interval, resample_counts
from tests.unit.evaluation.bootstrap.coverage import coverage
from tests.unit.evaluation.oracle import cases

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
INF = float("inf")


def without_ties_in_an_image(detections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ties between images stay; within an image copies may be ordered in two ways."""
    seen: dict[tuple[int, int], int] = {}
    kept = []
    for entry in detections:
        key = (entry["image_id"], entry["category_id"])
        seen[key] = seen.get(key, 0) + 1
        kept.append({**entry, "score": round(entry["score"], 1) + seen[key] * 1e-4})
    return kept


def assert_resamples_equal_copies(
    truth: GroundTruth, found: Detections, *, resamples: int, iou_type: str = "bbox"
) -> None:
    counts = resample_counts(len(truth.image_ids), resamples=resamples, seed=4)
    fast = resample(truth, found, counts=counts, iou_type=iou_type)
    whole = evaluate(truth, found, iou_type=iou_type).metrics
    np.testing.assert_allclose(
        fast.values[: len(fast.names)], [whole[name] for name in fast.names], rtol=0, atol=1e-12
    )
    for r, row in enumerate(counts):
        slow = evaluate(*copied(truth, found, row), iou_type=iou_type).metrics
        expected = [slow[name] for name in fast.names]
        got = fast.samples[: len(fast.names), r]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_twenty_resamples_of_every_corner_case() -> None:
    annotations, detections = cases(120, seed=3)
    truth = GroundTruth.of(annotations)
    found = Detections.of(without_ties_in_an_image(detections), ground_truth=truth)
    assert_resamples_equal_copies(truth, found, resamples=20)


def test_twenty_resamples_of_many_categories() -> None:
    assert_resamples_equal_copies(*generate(images=150, categories=40, skill=0.8), resamples=20)


def test_resamples_of_masks() -> None:
    annotations, detections = cases(40, seed=5, masks=True)
    truth = GroundTruth.of(annotations)
    detections = without_ties_in_an_image(detections)
    found = Detections.of(detections, ground_truth=truth, iou_type="segm")
    assert_resamples_equal_copies(truth, found, resamples=5, iou_type="segm")


def test_the_curve_is_ap_of_each_bin_alone() -> None:
    truth, found = generate(images=100, categories=4, skill=0.8)
    counts = resample_counts(100, resamples=3)
    fast = resample(truth, found, counts=counts)
    n = len(fast.names)
    from fpnprobe.evaluation.engines import run_engine

    curves = run_engine(
        "pycocotools",
        ground_truth=truth,
        detections=found,
        iou_type="bbox",
        ranges=half_open(size_edges() ** 2),
    )
    for i, value in enumerate(fast.values[n:]):
        precision = curves.precision[:, :, :, i, -1]
        present = precision[precision > -1]
        np.testing.assert_allclose(value, present.mean() if present.size else np.nan, atol=1e-12)


def test_more_resamples_than_one_block_of_columns() -> None:
    truth, found = generate(images=30, categories=2)
    matches = match(truth, found, ranges=area_ranges(COCO_BUCKETS))
    counts = resample_counts(30, resamples=150)
    whole = resampled_ap(matches, counts)
    np.testing.assert_array_equal(whole[:, :, 100:], resampled_ap(matches, counts[100:]))


def test_a_resample_without_objects_is_nan() -> None:
    truth, found = generate(images=10, objects=0.5, categories=2)
    matches = match(truth, found, ranges=area_ranges(COCO_BUCKETS))
    empty = np.zeros((1, 10), dtype=np.int32)
    empty[0, np.setdiff1d(np.arange(10), truth.image)[0]] = 10
    assert np.isnan(resampled_ap(matches, empty)).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    hnp.arrays(
        np.int32, st.tuples(st.integers(1, 60), st.integers(1, 5)), elements=st.integers(-9, 9)
    )
)
def test_scans_are_numpys(rows: np.ndarray[Any, np.dtype[np.int32]]) -> None:
    np.testing.assert_array_equal(running_sums(rows)[1:], rows.cumsum(axis=0))
    down = rows.astype(np.float64)
    falling_maximum(down)
    np.testing.assert_array_equal(down, np.maximum.accumulate(rows[::-1], axis=0)[::-1])


def test_edges_hold_every_bucket_border_and_nine_bins() -> None:
    for buckets in (
        COCO_BUCKETS,
        [ScaleBucket("a", 0, 16**2), ScaleBucket("b", 16**2, 48**2), ScaleBucket("c", 48**2, INF)],
        [ScaleBucket("a", 0, 50.0**2), ScaleBucket("b", 50.0**2, INF)],
        [ScaleBucket("a", 0, INF)],
    ):
        edges = size_edges(buckets)
        assert len(edges) >= 10
        assert (np.diff(edges) > 0).all()
        assert {bucket.high**0.5 for bucket in buckets} <= set(edges.tolist())
    assert {32.0, 96.0} <= set(size_edges().tolist())


def test_every_object_is_in_one_bin() -> None:
    truth, _ = generate(images=50)
    table = bin_table(truth, size_edges())
    assert table["n_objects"].sum() == (~truth.crowd).sum()
    filled = table[table["n_objects"] > 0]
    assert (filled["sqrt_area"] >= filled["low"]).all()
    assert (filled["sqrt_area"] < filled["high"]).all()


def test_size_curve_of_one_run() -> None:
    truth, found = generate(images=60, categories=2, skill=0.8)
    curve = size_curve(truth, found, resamples=50)
    assert curve["n_objects"].sum() == (~truth.crowd).sum()
    filled = curve[curve["n_objects"] > 0]
    assert (filled["band_low"] <= filled["ap"]).all()
    assert (filled["ap"] <= filled["band_high"]).all()
    assert curve[curve["n_objects"] == 0]["ap"].isna().all()


def test_the_benchmark_checks_what_it_times() -> None:
    rows = run(images=20, detections=600, resamples=10, slow=3, repeats=1)
    for row in rows:
        assert {"engine", "images", "detections", "seconds", "ratio_to_pycocotools"} <= set(row)
        assert (row["images"], row["detections"]) == (20, 600)


def test_an_object_on_a_border_is_in_the_upper_bin_alone() -> None:
    truth, found = generate(images=8, categories=1)
    truth = replace(truth, areas=np.full(len(truth.areas), 32.0**2))
    curve = size_curve(truth, found, resamples=5)
    assert curve[curve["n_objects"] > 0]["low"].tolist() == [32.0]
    assert curve[curve["ap"].notna()]["low"].tolist() == [32.0]


def test_compare_pairs_the_images() -> None:
    """The paired interval of two nearly equal runs is far narrower than either run's own."""
    truth, first = generate(images=120, categories=3, skill=0.7)
    scores = first.scores.copy()
    scores[:20] *= 0.5
    second = Detections(first.image, first.category, first.boxes, first.areas, scores, ())
    found: Any = compare(truth, first, second, resamples=300).table.set_index("metric")
    alone = resample(truth, first, counts=resample_counts(120, resamples=300))
    low, high = percentile_interval(alone.samples[0])
    assert found.at["AP", "high"] - found.at["AP", "low"] < (high - low) / 3


def test_compare_of_a_run_with_itself_is_zero_everywhere() -> None:
    annotations, results = as_documents(*generate(images=60, categories=3))
    found = compare(annotations, results, results, resamples=50)
    for row in found.as_json().values():
        for key in ("difference", "low", "high"):
            assert row[key] in (0.0, None)
    assert list(found.table.columns) == ["metric", "a", "b", "difference", "low", "high"]
    assert len(found.curve) == 12


def test_compare_changes_sign_when_turned() -> None:
    truth, a = generate(images=80, categories=3, skill=0.5)
    _, b = generate(images=80, categories=3, skill=0.9)
    there: Any = compare(truth, a, b, resamples=60).table
    back: Any = compare(truth, b, a, resamples=60).table
    np.testing.assert_allclose(there["difference"], -back["difference"], atol=1e-15)
    np.testing.assert_allclose(there["low"], -back["high"], atol=1e-12)
    assert there.set_index("metric").at["AP", "low"] > 0


def test_one_resample_is_refused() -> None:
    truth, a = generate(images=5)
    with pytest.raises(FpnProbeError, match="at least 2"):
        compare(truth, a, a, resamples=1)


def coverage_of_ap(trials: int, *, images: int, resamples: int) -> float:
    """How often the 95 % interval of AP_B - AP_A holds the true difference.

    The truth is the difference on 40,000 images of the same kind.
    """
    truth, a, b = world(40_000, seed=1)
    exact = evaluate(truth, b).metrics["AP"] - evaluate(truth, a).metrics["AP"]
    inside = 0
    for trial in range(trials):
        truth, a, b = world(images, seed=1000 + trial)
        counts = resample_counts(images, resamples=resamples, seed=trial)
        first, second = (
            resample(truth, found, counts=counts, curve=False).samples[0] for found in (a, b)
        )
        low, high = percentile_interval(second - first, items=images)
        inside += low <= exact <= high
    return inside / trials


def world(images: int, *, seed: int) -> tuple[GroundTruth, Detections, Detections]:
    """One to eight objects of two kinds per image; A and B share each image's difficulty.

    Objects lie 100 px apart, so every detection has one object that it can match. B's boxes are
    better placed and it has fewer false positives.
    """
    random = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), random.integers(1, 9, images))
    n = len(image)
    place = np.arange(n) - np.searchsorted(image, image)
    kind = random.integers(0, 2, n)
    boxes = np.column_stack([100.0 * place, np.full(n, 10.0), np.full((n, 2), 50.0)])
    truth = GroundTruth(
        image_ids=np.arange(images),
        sizes=np.full((images, 2), 900),
        category_ids=np.array([1, 2]),
        category_names=("ring", "square"),
        image=image,
        category=kind,
        boxes=boxes,
        areas=np.full(n, 2500.0),
        crowd=np.zeros(n, dtype=bool),
        segmentations=(None,) * n,
    )
    difficulty = random.random(images)[image]
    runs = []
    for skill in (0.55, 0.65):
        shift = np.abs(random.normal(0, 6 * (1.4 - skill) * (0.5 + difficulty)))
        moved = boxes + shift[:, None] * [1, 0, 0, 0]
        wrong = random.random(n) < 1.6 * (1 - skill) * difficulty
        away = boxes[wrong] + [0.0, 30.0, -20.0, -20.0]
        every = np.concatenate([moved, away])
        score = random.beta(4, 2, n) - 0.003 * shift
        runs.append(
            Detections(
                image=np.concatenate([image, image[wrong]]),
                category=np.concatenate([kind, kind[wrong]]),
                boxes=every,
                areas=every[:, 2] * every[:, 3],
                scores=np.concatenate([score, random.beta(2.5, 2, len(away))]),
                masks=(),
            )
        )
    return truth, runs[0], runs[1]


def test_intervals_cover_the_true_difference() -> None:
    """250 data sets of 100 images, fixed seeds: 93 to 97 of 100 intervals hold the truth.

    With 250 trials the rate itself is uncertain by 1.4 points (one standard error); the slow test
    has eight times as many.
    """
    assert 0.93 <= coverage_of_ap(250, images=100, resamples=200) <= 0.97


@pytest.mark.slow
def test_intervals_cover_the_true_difference_at_length() -> None:
    """2,000 data sets of 200 images, 1,000 resamples: standard error 0.5 points."""
    assert 0.94 <= coverage_of_ap(2000, images=200, resamples=1000) <= 0.96


@pytest.mark.slow
@pytest.mark.parametrize("images", [100, 200])
def test_intervals_cover_at_every_size_of_objects(images: int) -> None:
    """500 data sets: standard error 1 point around what reports promise, 94 to 96 of 100."""
    rates = coverage(500, images=images)
    expanded = list(rates["expanded"].values())
    assert all(0.93 <= rate <= 0.97 for rate in expanded)
    assert 0.94 <= sum(expanded) / len(expanded) <= 0.965


def test_the_simulation_of_coverage_runs() -> None:
    rates = coverage(3, images=30, resamples=40, population=400)
    assert set(rates) == {"expanded", "percentile", "bca", "jackknife"}
    assert all(0 <= rate <= 1 for row in rates.values() for rate in row.values())


def test_images_without_an_object_of_a_size_do_not_count() -> None:
    truth, found = generate(images=60, categories=2, skill=0.8)
    run = resample(truth, found, counts=resample_counts(60, resamples=2))
    small = (truth.areas < 32**2) & ~truth.crowd
    assert run.items[run.names.index("AP_S")] == len(np.unique(truth.image[small]))
    assert run.items[0] == len(np.unique(truth.image[~truth.crowd]))
    assert len(run.items) == len(run.values)


@pytest.mark.slow
def test_a_set_as_large_as_val2017() -> None:
    """20 resamples against copies inside; at least 50 x pycocotools, 100 x a thousand calls."""
    rows = {row["engine"]: row for row in run()}
    assert rows["hotcoco"]["ratio_to_pycocotools"] >= 50
    assert rows["paired bootstrap"]["seconds"] < 60
    assert rows["paired bootstrap"]["ratio_to_pycocotools"] >= 100
