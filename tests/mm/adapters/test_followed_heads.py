"""Provenance labels every row as the head's own adapter does: the adapters are the oracle."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters import observe
from fpnprobe.mm.adapters.followed_heads import FollowedHeads
from fpnprobe.probing import Probe
from fpnprobe.testing import assert_no_hooks_left, assert_partition_sums_to_total
from tests.mm.adapters.frameworks import BUCKETS, CONFIGS, loss_of
from tests.mm.adapters.test_brute_force import pytestmark as pytestmark
from tests.mm.adapters.test_drawn_batches import EDGES, IMAGE, batch, built

# FreeAnchor's rows are bags, which no target argument names; in FSAF a convention differs: anchors
# of an object at a level that it did not choose are background to the adapter.
FOLLOWED = [name for name in CONFIGS if name not in ("free_anchor", "fsaf")]
LABELS = ("adapters", "provenance")


def measure(name: str, images: list[Any], labels: Any) -> tuple[Any, float, dict[Any, int]]:
    detector = built(name)
    data = detector.data_preprocessor(batch(images), training=True)
    with observe(detector, BUCKETS, labels=labels) as seen:
        loss = loss_of(detector, data)
    sample = Probe("full").measure(loss, seen.partition, seen.taps())
    background = len(BUCKETS)
    rows: dict[Any, int] = {}
    for call in seen.partition.calls:
        for label in call.labels[(call.labels >= 0) & (call.labels < background)].tolist():
            rows[call.name, label] = rows.get((call.name, label), 0) + 1
    assert_no_hooks_left(detector)
    return sample, float(loss.detach()), rows


def compare(name: str, images: list[Any]) -> None:
    (a, loss_a, rows_a), (b, loss_b, rows_b) = (measure(name, images, one) for one in LABELS)
    assert loss_a == loss_b  # to the last bit
    assert rows_a == rows_b  # as many rows of each object size in each loss module
    assert_partition_sums_to_total(b)
    assert len(a.records) == len(b.records)
    for one, two in zip(a.records, b.records, strict=True):
        assert (one.tap, one.kind, one.route, one.bucket) == (
            two.tap,
            two.kind,
            two.route,
            two.bucket,
        )
        largest = max(r.l2 for r in a.records if (r.tap, r.kind) == (one.tap, one.kind))
        assert two.l2 == pytest.approx(one.l2, rel=1e-4, abs=1e-5 * largest, nan_ok=True)


@pytest.mark.parametrize("name", FOLLOWED)
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(images=st.lists(IMAGE, min_size=2, max_size=2))
def test_rows_are_those_of_the_adapter(name: str, images: list[Any]) -> None:
    compare(name, images)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOWED)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(images=st.lists(IMAGE, min_size=2, max_size=2))
def test_rows_are_those_of_the_adapter_on_twenty_batches(name: str, images: list[Any]) -> None:
    compare(name, images)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", ["fcos", "mask_rcnn"])
def test_rows_are_those_of_the_adapter_at_the_edges(name: str, edge: str) -> None:
    compare(name, EDGES[edge])


@pytest.mark.parametrize("name", ["retinanet", "fcos", "atss"])
def test_sums_hold_in_float64(name: str) -> None:
    detector = built(name)
    data = detector.data_preprocessor(batch(EDGES["every object twice"]), training=True)
    with observe(detector, BUCKETS, labels="provenance") as seen:
        loss = loss_of(detector, data)
    detector.double()
    try:
        data["inputs"] = data["inputs"].double()
        with observe(detector, BUCKETS, labels="provenance") as seen:
            loss = loss_of(detector, data)
        sample = Probe("full").measure(loss, seen.partition, seen.taps())
        assert sample.residuals.gradient < 1e-10 and sample.residuals.routes < 1e-10
    finally:
        detector.float()


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn"])
def test_shuffled_marks_are_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = built(name)
    data = detector.data_preprocessor(batch(EDGES["tiny objects alone"]), training=True)
    original = FollowedHeads._mark

    def shuffled(self: FollowedHeads, given: Any, truths: Any) -> None:
        original(self, given, truths)
        for truth in truths:
            marks = self._provenance.marks_of(truth.labels)
            self._provenance.mark(truth.labels, marks.roll(1))

    monkeypatch.setattr(FollowedHeads, "_mark", shuffled)
    with (
        pytest.raises(FpnProbeError, match=r"class target that is not their object's|different"),
        observe(detector, BUCKETS, labels="provenance") as seen,
    ):
        Probe().measure(loss_of(detector, data), seen.partition, seen.taps())
    assert_no_hooks_left(detector)
