"""When boxes that meet objects better in another form are told: enough, and clearly more."""

from typing import Any

import pytest

from fpnprobe.evaluation import Detections, GroundTruth
from fpnprobe.evaluation.suspicions import suspect_form

OBJECT = [40, 40, 20, 20]  # as x, y, width, height; one an image of 200 px
AS_CORNERS = [40, 40, 60, 60]  # fits its image either way
BESIDE = [100, 100, 10, 10]  # on no object in any form


def suspect(*boxes: list[int]) -> str | None:
    """Ask about detections of which each is on an image of its own."""
    document: dict[str, Any] = {
        "images": [{"id": i, "width": 200, "height": 200} for i in range(len(boxes))],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": OBJECT, "area": 400, "iscrowd": 0}
            for i in range(len(boxes))
        ],
    }
    entries = [
        {"image_id": i, "category_id": 1, "bbox": box, "score": 0.5} for i, box in enumerate(boxes)
    ]
    truth = GroundTruth.of(document)
    return suspect_form(truth, Detections.of(entries, ground_truth=truth))


@pytest.mark.parametrize(
    ("corners", "plain", "beside"),
    [
        (2, 0, 0),  # the fewest that say anything
        (3, 1, 0),  # three times as many as they are written
        (2, 0, 18),  # a tenth of all
    ],
)
def test_enough_boxes_on_objects_as_corners_are_told(corners: int, plain: int, beside: int) -> None:
    told = suspect(*[AS_CORNERS] * corners, *[OBJECT] * plain, *[BESIDE] * beside)
    assert told is not None and "they look like x1, y1, x2, y2 (corners)" in told
    number = corners + plain + beside
    assert f"{plain} of the {number} best boxes lie on an object, and {corners} would" in told


@pytest.mark.parametrize(
    ("corners", "plain", "beside"),
    [(1, 0, 0), (2, 1, 0), (5, 2, 0), (2, 0, 19), (0, 3, 0)],
)
def test_fewer_say_nothing(corners: int, plain: int, beside: int) -> None:
    assert suspect(*[AS_CORNERS] * corners, *[OBJECT] * plain, *[BESIDE] * beside) is None
