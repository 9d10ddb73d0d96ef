"""Error types against hotcoco's TIDE, and one image for every type."""

from typing import Any

import hotcoco
import numpy as np
import pandas as pd
import pytest

from fpnprobe.evaluation import error_types, evaluate
from fpnprobe.evaluation.generated import as_documents, generate
from fpnprobe.scales import ScaleBucket

ERRORS = ["Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_objects_equal_tide(seed: int) -> None:
    annotations, results = as_documents(
        *generate(images=150, categories=4 + 8 * seed, seed=seed, skill=0.7)
    )
    for entry in annotations["annotations"]:
        entry["iscrowd"] = 0  # crowds play a part there, and none here
    truth = hotcoco.COCO(annotations)
    run = hotcoco.COCOeval(truth, truth.load_res(results), "bbox")
    run.evaluate()
    theirs = run.tide_errors()
    ours = error_types(annotations, results)
    ours = ours[ours["bucket"] == "all"].set_index("error")
    for error in ERRORS:
        assert ours.at[error, "count"] == theirs["counts"][error]
        assert ours.at[error, "d_ap"] == pytest.approx(theirs["delta_ap"][error], abs=1e-12)


def scene(*detections: tuple[int, list[float], float]) -> tuple[dict[str, Any], list[Any]]:
    """A small object of class 1 and a large one of class 2, far apart."""
    annotations = {
        "images": [{"id": 1, "width": 400, "height": 400}],
        "categories": [{"id": 1, "name": "ring"}, {"id": 2, "name": "square"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400.0},
            {"image_id": 1, "category_id": 2, "bbox": [200, 200, 100, 100], "area": 10000.0},
        ],
    }
    found = [
        {"image_id": 1, "category_id": category, "bbox": box, "score": score}
        for category, box, score in detections
    ]
    return annotations, found


SMALL, LARGE = [10.0, 10.0, 20.0, 20.0], [200.0, 200.0, 100.0, 100.0]


def counts(table: pd.DataFrame, bucket: str = "all") -> dict[str, int]:
    rows = table[(table["bucket"] == bucket) & (table["count"] > 0)]
    return {str(k): int(v) for k, v in rows.set_index("error")["count"].items()}


@pytest.mark.parametrize(
    ("detection", "expected"),
    [
        ((2, SMALL, 0.9), {"Cls": 1}),
        ((1, [10.0, 10.0, 20.0, 8.0], 0.9), {"Loc": 1}),
        ((2, [10.0, 10.0, 20.0, 8.0], 0.9), {"Both": 1, "Miss": 1}),
        ((1, [100.0, 10.0, 20.0, 20.0], 0.9), {"Bkg": 1, "Miss": 1}),
    ],
)
def test_each_type(detection: Any, expected: dict[str, int]) -> None:
    found = error_types(*scene(detection, (2, LARGE, 0.8)))
    assert counts(found) == expected
    assert counts(found, "large") == {}


def test_duplicates() -> None:
    found = error_types(*scene((1, SMALL, 0.9), (1, SMALL, 0.8), (2, LARGE, 0.9)))
    assert counts(found) == {"Dupe": 1}


def test_mending_the_only_error_gives_the_rest_of_ap() -> None:
    data = scene((2, SMALL, 0.3), (2, LARGE, 0.8))
    gain = error_types(*data).set_index(["bucket", "error"])["d_ap"]
    assert gain["all", "Cls"] == pytest.approx(1 - evaluate(*data).metrics["AP_50"])
    assert gain["small", "Cls"] == pytest.approx(1)
    assert gain["large", "Cls"] == 0
    assert np.isnan(gain["medium", "Cls"])


def test_only_the_best_claim_on_an_object_is_mended() -> None:
    wide = [10.0, 10.0, 20.0, 8.0]
    data = scene((1, wide, 0.9), (1, [10.0, 10.0, 8.0, 20.0], 0.8), (2, LARGE, 0.8))
    gain = error_types(*data).set_index(["bucket", "error"])
    assert gain.at[("all", "Loc"), "count"] == 2
    assert gain.at[("all", "Loc"), "d_ap"] == pytest.approx(0.5)


def test_a_missed_object_counts_in_its_bucket() -> None:
    found = error_types(*scene((2, LARGE, 0.8)))
    assert counts(found, "small") == {"Miss": 1}
    assert counts(found, "large") == {}


def test_custom_buckets_and_no_detections() -> None:
    buckets = [ScaleBucket("tiny", 0, 500), ScaleBucket("rest", 500, float("inf"))]
    found = error_types(*scene(), buckets=buckets)
    assert found["bucket"].unique().tolist() == ["all", "tiny", "rest"]
    assert counts(found) == {"Miss": 2}
