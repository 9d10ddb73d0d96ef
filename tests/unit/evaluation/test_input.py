"""Bad files are one clear line that says what, where and what was expected."""

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import Detections, GroundTruth, evaluate
from fpnprobe.evaluation.generated import as_documents, generate


@pytest.fixture
def good() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return as_documents(*generate(images=6, categories=2, detections=4))


def change(document: Any, *keys: Any, to: Any) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for key in keys[:-1]:
        place = place[key]
    if to is KeyError:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    return changed


ANNOTATIONS: list[tuple[tuple[Any, ...], Any, str]] = [
    (("images",), KeyError, "no list 'images'"),
    (("annotations",), {}, "no list 'annotations'"),
    (("annotations", 3, "image_id"), 999, "point to no image .first: annotation 4, image_id 999"),
    (
        ("annotations", 2, "category_id"),
        77,
        "point to no category .first: annotation 3, category_id 77",
    ),
    (("annotations", 1, "area"), KeyError, "have no 'area' .first: annotation 2"),
    (("annotations", 1, "area"), -4.0, "an area that is negative"),
    (("annotations", 1, "bbox"), [1, 2, 3], "no box of four numbers .first: annotation 2"),
    (("annotations", 1, "bbox"), [1, 2, float("nan"), 4], "a box with NaN or infinity"),
    (("annotations", 1, "bbox"), [1, 2, -3, 4], "a box of negative width or height"),
    (
        ("annotations", 1, "image_id"),
        1.5,
        "have no usable image_id .first: annotation 2, image_id 1.5",
    ),
    (("images", 1, "id"), 1, "1 of 6 images repeat an id"),
    (("categories", 1, "id"), True, "an id of another type"),
    (("images", 1, "height"), "high", "a height that is no number of pixels"),
]
DETECTIONS: list[tuple[tuple[Any, ...], Any, str]] = [
    ((1, "image_id"), 999, "point to no image .first: entry 1, image_id 999"),
    ((1, "category_id"), 999, "point to no category .first: entry 1"),
    ((1, "score"), KeyError, "have no 'score' .first: entry 1"),
    ((1, "score"), "high", "a score that is no number .first: entry 1"),
    ((1, "score"), float("nan"), "a score that is not finite"),
    ((1, "bbox"), [0, 0, float("inf"), 1], "entry 1 has the bbox"),
    ((1,), "box", "are no objects .first: entry 1"),
    ((1, "score"), True, "a score that is no number"),
    ((1, "image_id"), "1", "here it is text and the image's own id is a number"),
]


def assert_one_line(error: FpnProbeError) -> None:
    assert "\n" not in str(error)


@pytest.mark.parametrize(("keys", "to", "message"), ANNOTATIONS)
def test_bad_annotations(good: Any, keys: Any, to: Any, message: str) -> None:
    with pytest.raises(FpnProbeError, match=message) as caught:
        evaluate(change(good[0], *keys, to=to), good[1])
    assert_one_line(caught.value)


@pytest.mark.parametrize(("keys", "to", "message"), DETECTIONS)
def test_bad_detections(good: Any, keys: Any, to: Any, message: str) -> None:
    with pytest.raises(FpnProbeError, match=message) as caught:
        evaluate(good[0], change(good[1], *keys, to=to))
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "not complete JSON"),
        (lambda path: path.write_text(""), "is empty"),
        (lambda path: path.unlink(), "cannot read .*No such file"),
        (lambda path: path.write_text("[]"), "holds a list"),
        (lambda path: path.write_text("[" * 100_000), "not complete JSON"),
        (lambda path: path.write_bytes(gzip.compress(path.read_bytes())[:150]), "cut off"),
    ],
)
def test_bad_files(
    good: Any, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    file = tmp_path / "val.json"
    file.write_text(json.dumps(good[0]))
    spoil(file)
    with pytest.raises(FpnProbeError, match=message) as caught:
        evaluate(file, good[1])
    assert str(file) in str(caught.value)
    assert_one_line(caught.value)


def test_detections_that_are_no_list(good: Any) -> None:
    with pytest.raises(FpnProbeError, match="holds a dict, expected a list"):
        evaluate(good[0], good[0])


def test_masks_that_are_missing(good: Any) -> None:
    with pytest.raises(FpnProbeError, match="none of the 44 objects has a usable segmentation"):
        evaluate(*good, iou_type="segm")


@pytest.mark.parametrize(
    ("option", "message"),
    [({"engine": "cocoapi"}, "engine 'cocoapi'"), ({"iou_type": "keypoints"}, "'keypoints'")],
)
def test_unknown_options(good: Any, option: Any, message: str) -> None:
    with pytest.raises(FpnProbeError, match=message):
        evaluate(*good, **option)


def test_plain_and_gzipped_files_are_equal(good: Any, tmp_path: Path) -> None:
    (tmp_path / "val.json").write_text(json.dumps(good[0]))
    (tmp_path / "found.json.gz").write_bytes(gzip.compress(json.dumps(good[1]).encode()))
    found = evaluate(tmp_path / "val.json", str(tmp_path / "found.json.gz"))
    np.testing.assert_equal(dict(found.metrics), dict(evaluate(*good).metrics))


def test_evaluation_shows_itself(good: Any) -> None:
    found = evaluate(*good)
    assert repr(found).startswith("Evaluation(bbox, 6 images, 24 detections, hotcoco: AP ")
    assert "<table" in found._repr_html_()
    table = found.to_pandas(study="s", variant="FPN", seed=2, iteration=9)
    assert list(table.columns) == [
        "study", "variant", "seed", "iteration", "iou_type", "metric", "value", "engine",
    ]  # fmt: skip
    assert len(table) == 12
    assert set(found.as_json()) == {*found.metrics, "engine", "iou_type"}
    assert json.dumps(found.as_json(), allow_nan=False)
    assert list(found.per_category["category"]) == ["kind 1", "kind 2"]
    assert found.per_category["objects"].sum() == found.objects
    np.testing.assert_allclose(found.per_category["AP"].mean(), found.metrics["AP"])


def test_boxes_alone_lack_no_mask(good: Any) -> None:
    assert GroundTruth.of(good[0]).unmasked == 0


def test_columns_show_themselves(good: Any) -> None:
    truth = GroundTruth.of(good[0])
    assert repr(truth) == "GroundTruth(6 images, 2 categories, 44 objects)"
    assert repr(Detections.of(good[1], ground_truth=truth)).startswith("Detections(24 boxes on")
