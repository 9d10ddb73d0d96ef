"""Every adapter against the loss of one bucket recomputed without it."""

from typing import Any

import pytest
import torch

from fpnprobe.mm.adapters import observe
from fpnprobe.mm.batches import generated_batch
from fpnprobe.probing import Probe
from fpnprobe.probing.partition import masked
from fpnprobe.testing import (
    assert_no_hooks_left,
    assert_partition_sums_to_total,
    assert_routes_sum_to_total,
    relative_distance,
)
from tests.mm.adapters.frameworks import BUCKETS, CLASSES, CONFIGS, SIZE, loss_of, tiny
from tests.mm.adapters.twin import only

# mmdet's own calls into torch.
pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.meshgrid"),
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),
    pytest.mark.filterwarnings("ignore:DeprecationWarning. `num_anchors`"),
]
BOUNDS = (18**2, 64**2)


def batch(detector: Any, *, objects: int = 7) -> Any:
    made = generated_batch(size=SIZE, objects=objects, classes=CLASSES, bounds=BOUNDS)
    return detector.data_preprocessor(made, training=True)


@pytest.mark.parametrize("name", CONFIGS)
def test_bucket_gradients_are_those_of_the_buckets_own_loss(name: str) -> None:
    detector = tiny(name)
    data = batch(detector)
    plain = loss_of(detector, data)
    with observe(detector, BUCKETS) as seen:
        loss = loss_of(detector, data)
    assert torch.equal(loss, plain)
    assert_no_hooks_left(detector)

    sample = Probe("full").measure(loss, seen.partition, seen.taps())
    assert_partition_sums_to_total(sample)
    assert_routes_sum_to_total(sample)
    assert seen.partition.objects == [6, 4, 4]
    inputs = [p for p in detector.parameters() if p.requires_grad]
    cotangents, values = seen.partition.cotangents(loss)
    for label in range(4):
        with only(detector, label, data["data_samples"]):
            own = loss_of(detector, data)
        assert float(values[label]) == pytest.approx(float(own.detach()), rel=1e-5)
        rows, starts = masked(cotangents, label)
        assert rows, f"{name}: no row of {seen.partition.labels[label]}"
        gradients = []
        for outputs, cotangent in ((rows, starts), ([own], None)):
            found = torch.autograd.grad(
                outputs, inputs, cotangent, retain_graph=True, allow_unused=True
            )
            gradients.append(
                [
                    torch.zeros_like(p) if g is None else g
                    for p, g in zip(inputs, found, strict=True)
                ]
            )
        assert relative_distance(*gradients) < 1e-5
