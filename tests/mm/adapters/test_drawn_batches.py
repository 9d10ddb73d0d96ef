"""Conservation and labels on whatever annotations come: drawn by hypothesis."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpnprobe.mm.adapters import observe
from fpnprobe.mm.inspect.generated_batch import data_sample
from fpnprobe.probing import Probe
from fpnprobe.testing import (
    assert_no_hooks_left,
    assert_partition_sums_to_total,
    assert_routes_sum_to_total,
    assert_same_records,
)
from tests.mm.adapters.frameworks import BUCKETS, CLASSES, CONFIGS, bucket_of, loss_of, tiny
from tests.mm.adapters.test_brute_force import pytestmark as pytestmark

_BUILT: dict[str, Any] = {}
# x, y, width, height in parts of 32 of the image; class; fill of the box by the annotation's area
OBJECT = st.tuples(
    st.integers(0, 24),
    st.integers(0, 24),
    st.sampled_from([1, 2, 3, 6, 12, 24]),
    st.sampled_from([1, 2, 3, 6, 12, 24]),
    st.integers(0, CLASSES - 1),
    st.sampled_from([0.2, 0.5, 1.0]),
)
IMAGE = st.tuples(
    st.lists(OBJECT, max_size=5),
    st.lists(OBJECT, max_size=2),  # crowds, which are ignored
    st.sampled_from([(96, 96), (64, 128), (128, 96)]),
    st.booleans(),  # every object twice
)


def boxes(objects: list[Any], size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    height, width = size
    found = np.array([o[:4] for o in objects], dtype=float).reshape(-1, 4) / 32
    left, top = found[:, 0] * width, found[:, 1] * height
    right = np.minimum(left + found[:, 2] * width, width)
    bottom = np.minimum(top + found[:, 3] * height, height)
    return np.stack([left, top, right, bottom], axis=1)


def batch(images: list[Any]) -> dict[str, Any]:
    samples, inputs = [], []
    generator = torch.Generator().manual_seed(0)
    for number, (objects, crowds, size, twice) in enumerate(images):
        drawn = objects * 2 if twice else objects
        corners = boxes(drawn, size)
        area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        fill = np.array([o[5] for o in drawn])
        samples.append(
            data_sample(
                corners,
                [o[4] for o in drawn],
                area * fill,
                size=size,
                ignored=boxes(crowds, size),
                image=number,
            )
        )
        pixels = torch.randint(0, 256, (3, *size), generator=generator)
        inputs.append(pixels.to(torch.uint8))
    return {"inputs": inputs, "data_samples": samples}


def built(name: str) -> Any:
    if name not in _BUILT:
        _BUILT[name] = tiny(name)
    return _BUILT[name]


@pytest.mark.parametrize("name", CONFIGS)
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(images=st.lists(IMAGE, min_size=2, max_size=2))
def test_the_partition_is_exact_on_any_batch(name: str, images: list[Any]) -> None:
    detector = built(name)
    data = detector.data_preprocessor(batch(images), training=True)
    with observe(detector, BUCKETS) as seen:
        loss = loss_of(detector, data)
    sample = Probe().measure(loss, seen.partition, seen.taps())
    assert_partition_sums_to_total(sample)
    assert_routes_sum_to_total(sample)
    assert_no_hooks_left(detector)
    areas = torch.cat([s.gt_instances.areas for s in data["data_samples"]])
    assert seen.partition.objects == torch.bincount(bucket_of(areas), minlength=3).tolist()
    rows = seen.partition.count()
    for label, objects in enumerate(seen.partition.objects):
        if objects == 0:
            assert rows[label] == 0
    if not len(areas):
        assert rows[3] > 0 and sample.residuals.loss < 1e-5


SQUARE = (96, 96)
ORDINARY: Any = ([(4, 4, 12, 12, 1, 1.0)], [], SQUARE, False)
EDGES: dict[str, list[Any]] = {
    "no object in one image": [([], [], SQUARE, False), ORDINARY],
    "no object at all": [([], [], SQUARE, False), ([], [], SQUARE, False)],
    "tiny objects alone": [([(k, 3 * k, 1, 1, k, 0.5) for k in range(5)], [], SQUARE, False)] * 2,
    "every object twice": [
        ([(4, 4, 6, 12, 1, 1.0), (9, 2, 2, 2, 5, 0.5)], [], SQUARE, True),
        ORDINARY,
    ],
    "a crowd over an object": [
        ([(4, 4, 6, 12, 1, 1.0)], [(2, 2, 24, 24, 0, 1.0)], SQUARE, False),
        ORDINARY,
    ],
    "unlike sizes": [
        ([(4, 4, 24, 24, 1, 1.0)], [], (64, 128), False),
        ([(1, 1, 3, 3, 2, 1.0)], [], (128, 96), False),
    ],
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    "name", ["retinanet", "free_anchor", "atss", "fcos", "fsaf", "mask_rcnn", "sparse_rcnn"]
)
def test_the_partition_is_exact_at_the_edges(name: str, edge: str) -> None:
    detector = built(name)
    data = detector.data_preprocessor(batch(EDGES[edge]), training=True)
    with observe(detector, BUCKETS) as seen:
        loss = loss_of(detector, data)
    sample = Probe().measure(loss, seen.partition, seen.taps())
    assert_partition_sums_to_total(sample)
    assert_routes_sum_to_total(sample)


@pytest.mark.parametrize("name", ["retinanet", "fcos", "fsaf", "free_anchor"])
def test_the_order_of_the_boxes_does_not_matter(name: str) -> None:
    detector = built(name)
    objects = [(2, 3, 12, 6, 4, 0.5), (20, 8, 3, 3, 7, 1.0), (8, 16, 24, 12, 9, 0.9)]
    samples = []
    for order in (objects, objects[::-1]):
        data = detector.data_preprocessor(
            batch([(order, [], SQUARE, False), ORDINARY]), training=True
        )
        with observe(detector, BUCKETS) as seen:
            loss = loss_of(detector, data)
        samples.append(Probe("full").measure(loss, seen.partition, seen.taps()))
    assert_same_records(*samples, tolerance=1e-5)
