"""Every adapter against the loss of one bucket recomputed without it."""

from typing import Any

import pytest
import torch

from fpnprobe.mm.adapters import Observation, observe
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.probing import Probe
from fpnprobe.probing.calls import masked
from fpnprobe.probing.step_context import StepContext
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


def assert_buckets_are_their_own_loss(detector: Any) -> Observation:
    """Gradients of all parameters by bucket, from the partition and by brute force."""
    data = batch(detector)
    plain = loss_of(detector, data)
    with observe(detector, BUCKETS) as seen:
        loss = loss_of(detector, data)
    assert torch.equal(loss, plain)
    assert_no_hooks_left(detector)
    sample = Probe("full").measure(
        loss, seen.partition, seen.taps(), StepContext(auxiliary=seen.auxiliary)
    )
    assert_partition_sums_to_total(sample)
    assert_routes_sum_to_total(sample)
    assert seen.partition.objects == [6, 4, 4]
    inputs = [p for p in detector.parameters() if p.requires_grad]
    cotangents, values = seen.partition.cotangents(loss)
    for label, name in enumerate(seen.partition.labels):
        with only(detector, label, data["data_samples"]):
            own = loss_of(detector, data)
        assert float(values[label]) == pytest.approx(float(own.detach()), rel=1e-5)
        rows, starts = masked(cotangents, label)
        assert rows, f"no row of {name}: its head assigned it none, or its adapter lost them"
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
        assert relative_distance(*gradients) < 1e-5, name
    return seen


@pytest.mark.parametrize("name", CONFIGS)
def test_bucket_gradients_are_those_of_the_buckets_own_loss(name: str) -> None:
    assert_buckets_are_their_own_loss(tiny(name))


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("retinanet", "FPN-Aux"),
        ("atss", "FPN-AuxU"),
        ("fcos", "DC5-Aux"),
        ("fsaf", "FPN-Aux"),
        ("free_anchor", "FPN-Aux"),
        ("faster_rcnn", "FPN-AuxU"),
        ("sparse_rcnn", "FPN-Aux"),
        ("swin", "FPN-AuxU"),
    ],
)
def test_auxiliary_heads_are_split_like_any_other(name: str, variant: str) -> None:
    detector = tiny(name, variant=variant, **({} if name == "swin" else {"frozen_stages": -1}))
    seen = assert_buckets_are_their_own_loss(detector)
    helped = [call for call in seen.partition.calls if call.term.startswith("aux")]
    assert {call.term for call in helped} == {"aux2", "aux3", "aux4"}
    for call in helped:
        if call.levels is not None:
            assert set(call.levels.tolist()) <= {int(call.term[3:])}


@pytest.mark.parametrize(("name", "variant"), [("fcos", "FPN-Aux"), ("swin", "FPN-Aux")])
def test_the_auxiliary_route_is_the_gradient_of_the_auxiliary_losses(
    name: str, variant: str
) -> None:
    detector = tiny(name, variant=variant, frozen_stages=-1)
    data = batch(detector)
    with observe(detector, BUCKETS) as seen:
        loss = loss_of(detector, data)
    sample = Probe(terms="loss").measure(
        loss, seen.partition, seen.taps(), StepContext(auxiliary=seen.auxiliary)
    )
    own = {
        (r.tap, r.bucket): r.l2
        for r in sample.records
        if r.kind == "activation" and r.route == "auxiliary" and r.term == "all"
    }
    # What the head at stage i sends to C_i comes by that route alone.
    for stage in (2, 3, 4):
        for bucket in ("small", "medium", "large", "background"):
            (term,) = [
                r.l2
                for r in sample.records
                if (r.tap, r.route, r.term, r.bucket, r.kind)
                == (f"C{stage}", "auxiliary", f"aux{stage}", bucket, "activation")
            ]
            assert term > 0 and own[f"C{stage}", bucket] == pytest.approx(term, rel=1e-5)
    assert own["C5", "all"] == 0
