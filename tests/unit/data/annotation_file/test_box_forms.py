"""Boxes in another form are suspected, well-formed ones are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpnprobe.data.annotation_file.box_forms import FORMS, suspected_form, to_plain
from fpnprobe.evaluation import GroundTruth, evaluate
from fpnprobe.evaluation.generated import as_documents, generate


def boxes(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Boxes inside images of 48 x 64 px, and the images' sizes."""
    rng = np.random.default_rng(seed)
    sides = rng.uniform(4, 40, (count, 2))
    corner = rng.random((count, 2)) * (np.array([64, 48]) - sides)
    return np.hstack([corner, sides]), np.array([[48, 64]] * count)


def written(given: np.ndarray, form: str) -> np.ndarray:  # type: ignore[type-arg]
    """Boxes as a file of another form has them."""
    found = given.copy()
    if form == "corners":
        found[:, 2:] += found[:, :2]
    if form.endswith("center"):
        found[:, :2] += found[:, 2:] / 2
    return found / np.array([64, 48, 64, 48]) if form.startswith("relative") else found


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["corners", "center", "relative"]))
def test_other_forms_are_suspected(seed: int, form: str) -> None:
    plain, sizes = boxes(seed)
    assert suspected_form(written(plain, form), sizes) == form


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_well_formed_boxes_are_not(seed: int) -> None:
    plain, sizes = boxes(seed)
    assert suspected_form(plain, sizes) is None
    plain[:3, 2:] += 30  # some stick out, as they do
    assert suspected_form(plain, sizes) is None


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_converted_back(form: str) -> None:
    plain, sizes = boxes(0)
    np.testing.assert_allclose(to_plain(written(plain, form), form, sizes.astype(float)), plain)


@pytest.mark.parametrize("form", FORMS)
def test_good_detections_in_another_form_are_told(form: str) -> None:
    truth, found = generate(images=40, categories=2, skill=0.95, detections=12, seed=1)
    annotations, results = as_documents(truth, found)
    side = truth.sizes[0, 0]
    for each in results:
        x, y, w, h = each["bbox"]
        if form == "corners":
            each["bbox"] = [x, y, x + w, y + h]
        if form.endswith("center"):
            each["bbox"] = [x + w / 2, y + h / 2, w, h]
        if form.startswith("relative"):
            each["bbox"] = [value / side for value in each["bbox"]]
    (line,) = evaluate(annotations, results).warnings
    assert ("share" in line) if form.startswith("relative") else (FORMS[form] in line)
    assert "\n" not in line


def test_good_and_poor_detections_as_they_should_be_are_not() -> None:
    for skill in (0.0, 0.5, 0.95):
        truth, found = generate(images=40, categories=2, skill=skill, detections=12, seed=1)
        assert evaluate(*as_documents(truth, found)).warnings == ()
        assert isinstance(truth, GroundTruth)
