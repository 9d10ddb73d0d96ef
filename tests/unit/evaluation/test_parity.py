"""The fast engine, the oracle and our own matching agree to 1e-12."""

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpnprobe.evaluation import Detections, GroundTruth, evaluate
from fpnprobe.evaluation.bootstrap.average_precision import resampled_ap
from fpnprobe.evaluation.matching.greedy import match
from fpnprobe.evaluation.ranges import area_ranges
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket
from tests.unit.evaluation.oracle import NAMES, cases, coco_stats

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
INF = float("inf")


def assert_equal_metrics(ours: Any, theirs: Any) -> None:
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=1e-12, err_msg=name)


def assert_all_agree(
    annotations: dict[str, Any], detections: list[dict[str, Any]], iou_type: str = "bbox"
) -> None:
    expected = coco_stats(annotations, detections, iou_type)
    for engine in ("hotcoco", "pycocotools"):
        found = evaluate(annotations, detections, iou_type=iou_type, engine=engine)
        assert tuple(found.metrics) == NAMES
        assert_equal_metrics(found.metrics, expected)
    truth = GroundTruth.of(annotations)
    results = Detections.of(detections, ground_truth=truth, iou_type=iou_type)
    matches = match(truth, results, ranges=area_ranges(COCO_BUCKETS), iou_type=iou_type)
    ap = resampled_ap(matches, np.ones((1, matches.images), dtype=np.int32))[:, :, 0]
    own = dict(zip(("AP", "AP_S", "AP_M", "AP_L"), ap.mean(axis=1), strict=True))
    own |= {"AP_50": ap[0, 0], "AP_75": ap[0, 5]}
    assert_equal_metrics(own, {name: expected[name] for name in own})


@pytest.fixture(scope="module")
def boxes() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return cases(240, seed=1)


@pytest.fixture(scope="module")
def masks() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return cases(200, seed=2, masks=True)


def test_the_generated_data_has_every_corner_case(boxes: Any, masks: Any) -> None:
    annotations, detections = boxes
    objects = annotations["annotations"]
    with_objects = {a["image_id"] for a in objects}
    with_detections = {d["image_id"] for d in detections}
    every = {i["id"] for i in annotations["images"]}
    assert every - with_objects - with_detections
    assert with_objects - with_detections
    assert with_detections - with_objects
    assert {a["area"] for a in objects} >= {0.0, 1024.0, 9216.0}
    assert sum(a["iscrowd"] for a in objects) > 10
    pairs = [(d["image_id"], d["category_id"]) for d in detections]
    assert max(pairs.count(pair) for pair in set(pairs)) > 100
    assert len({(*p, d["score"]) for p, d in zip(pairs, detections, strict=True)}) < len(pairs)
    kinds = {type(a["segmentation"]).__name__ for a in masks[0]["annotations"]}
    assert kinds == {"list", "dict"}
    counts = [a["segmentation"] for a in masks[0]["annotations"]]
    assert {type(c["counts"]) for c in counts if isinstance(c, dict)} == {str, list}


def test_boxes(boxes: Any) -> None:
    assert_all_agree(*boxes)


def test_masks(masks: Any) -> None:
    assert_all_agree(masks[0], masks[1], iou_type="segm")


def test_no_detections(boxes: Any) -> None:
    assert_all_agree(boxes[0], [])
    assert evaluate(boxes[0], []).metrics["AP"] == 0.0


def test_no_objects(boxes: Any) -> None:
    empty = {**boxes[0], "annotations": []}
    assert_all_agree(empty, boxes[1])
    assert np.isnan(evaluate(empty, boxes[1]).metrics["AP"])


def test_nothing_at_all(boxes: Any) -> None:
    assert_all_agree({**boxes[0], "annotations": []}, [])


@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
def test_custom_buckets(boxes: Any, engine: str) -> None:
    borders = [0.0, 20.0**2, 64.0**2, 1e10]
    expected = coco_stats(boxes[0], boxes[1], areas=[[0.0, 1e10], *map(list, pairwise(borders))])
    buckets = [
        ScaleBucket("tiny", 0, 20**2),
        ScaleBucket("middle", 20**2, 64**2),
        ScaleBucket("huge", 64**2, INF),
    ]
    found = evaluate(*boxes, buckets=buckets, engine=engine).metrics
    assert_equal_metrics(found, expected)
    for name, letter in (("tiny", "S"), ("middle", "M"), ("huge", "L")):
        assert found[f"AP_{name}"] == found[f"AP_{letter}"]
        assert found[f"AR_{name}"] == found[f"AR_{letter}"]


def test_two_buckets_have_their_own_names_only(boxes: Any) -> None:
    buckets = [ScaleBucket("small", 0, 32**2), ScaleBucket("rest", 32**2, INF)]
    found = evaluate(*boxes, buckets=buckets).metrics
    assert "AP_S" not in found
    np.testing.assert_allclose(found["AP_small"], coco_stats(*boxes)["AP_S"], atol=1e-12)


def test_of_equal_overlaps_the_last_object_wins() -> None:
    """The first detection overlaps both objects alike; taking the wrong one spoils the second."""
    place = {"image_id": 1, "category_id": 1}
    left, right, middle = ([x, 0.0, 30.0, 30.0] for x in (0.0, 10.0, 5.0))
    for order in ((left, right), (right, left)):
        annotations = {
            "images": [{"id": 1, "width": 64, "height": 64}],
            "categories": [{"id": 1, "name": "ring"}],
            "annotations": [
                {**place, "id": k + 1, "bbox": box, "area": 900.0, "iscrowd": 0}
                for k, box in enumerate(order)
            ],
        }
        found = [{**place, "bbox": middle, "score": 0.9}, {**place, "bbox": right, "score": 0.8}]
        assert_all_agree(annotations, found)


def _box(draw: st.DrawFn) -> list[float]:
    x, y = (draw(st.integers(0, 4)) * 8.0 for _ in range(2))
    w, h = (draw(st.sampled_from([0.0, 8.0, 16.0, 32.0, 33.0, 96.0])) for _ in range(2))
    return [x, y, w, h]


@st.composite
def small_sets(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Few images, coarse boxes: equal IoUs, equal scores and empty places are the rule."""
    images = draw(st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True))
    categories = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True))
    place = st.tuples(st.sampled_from(images), st.sampled_from(categories))
    objects, found = [], []
    for k, (image, category) in enumerate(draw(st.lists(place, max_size=8))):
        box = _box(draw)
        area = draw(st.sampled_from([box[2] * box[3], 0.0, 1024.0, 9216.0]))
        crowd = draw(st.sampled_from([0, 0, 0, 1]))
        objects.append(
            {"id": k + 1, "image_id": image, "category_id": category, "bbox": box, "area": area,
             "iscrowd": crowd}
        )  # fmt: skip
    for image, category in draw(st.lists(place, max_size=12)):
        score = draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
        found.append(
            {"image_id": image, "category_id": category, "bbox": _box(draw), "score": score}
        )
    return {
        "images": [{"id": i, "width": 256, "height": 256} for i in images],
        "categories": [{"id": c, "name": str(c)} for c in categories],
        "annotations": objects,
    }, found


@settings(max_examples=120, deadline=None, derandomize=True)
@given(small_sets())
def test_random_small_sets(data: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    assert_all_agree(*data)


def _official() -> Path:
    shared = os.environ.get("FPNPROBE_SHARED") or Path(__file__).parents[4] / "shared"
    return Path(shared) / "data" / "coco-mini" / "annotations" / "official_val.json"


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_real_annotations(iou_type: str) -> None:
    if not _official().exists():
        pytest.skip(f"no COCO annotations at {_official()}")
    annotations = json.loads(_official().read_text())
    random = np.random.default_rng(0)
    sizes = {i["id"]: (i["height"], i["width"]) for i in annotations["images"]}
    found = []
    for entry in annotations["annotations"]:
        for _ in range(int(random.integers(0, 3))):
            x, y, w, h = entry["bbox"]
            dx, dy, dw, dh = random.normal(0, 0.06, 4)
            box = [x + dx * w, y + dy * h, max(1.0, w * (1 + dw)), max(1.0, h * (1 + dh))]
            found.append(_result(entry, box, sizes, float(np.round(random.random(), 2)), iou_type))
    assert_all_agree(annotations, found, iou_type)


def _result(
    entry: dict[str, Any],
    box: list[float],
    sizes: dict[int, tuple[int, int]],
    score: float,
    iou_type: str,
) -> dict[str, Any]:
    from pycocotools import mask as rle

    row = {"image_id": entry["image_id"], "category_id": entry["category_id"], "score": score}
    if iou_type == "bbox":
        return {**row, "bbox": box}
    x, y, w, h = box
    code = rle.frPyObjects([[x, y, x + w, y, x + w, y + h, x, y + h]], *sizes[entry["image_id"]])
    return {**row, "segmentation": {**code[0], "counts": code[0]["counts"].decode()}}
