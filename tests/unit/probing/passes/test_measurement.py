import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import GradientRecord
from fpnprobe.probing import LossPartition, Probe, Reduction, Sample, Tap
from fpnprobe.probing.passes.arrivals import with_gradient
from fpnprobe.probing.sample import steadiest
from fpnprobe.probing.step_context import StepContext
from fpnprobe.testing import (
    ToyPyramid,
    assert_no_hooks_left,
    assert_partition_sums_to_total,
    assert_routes_sum_to_total,
    assert_same_records,
    slow_bucket_gradients,
)


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 16, 16, dtype=torch.float64)


def one(sample: Sample, **wanted: str) -> GradientRecord:
    """The record with these fields; by default activation, total, of all terms."""
    defaults = {"kind": "activation", "route": "total", "term": "all"}
    found = [
        r
        for r in sample.records
        if all(getattr(r, k) == v for k, v in {**defaults, **wanted}.items())
    ]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def measured_in_training(model: ToyPyramid, x: Tensor, probe: Probe) -> Sample:
    """A probed step as a training loop makes it."""
    loss, partition, taps = model.measured(x)
    with probe.begin(loss, partition, taps) as measurement:
        measurement.run()
        with measurement.total_from_backward():
            loss.backward()
        return measurement.finish()


def test_norms_shares_and_cosines_are_those_of_the_twin() -> None:
    model = ToyPyramid()
    loss, partition, taps = model.measured(images(7))
    labels = torch.arange(7) % 4
    losses = {
        name: sum(((c.rows * (labels == i)).sum() for c in partition.calls), torch.zeros(())) / 7
        for i, name in enumerate(partition.labels)
    }
    sample = Probe("full").measure(loss, partition, taps)
    for tap in taps:
        for kind, inputs in (("activation", [tap.activation]), ("parameter", [*tap.parameters])):
            if not inputs:
                continue
            tensors = [t for t in inputs if t is not None]
            twin = {
                name: torch.cat([g.flatten() for g in gradients])
                for name, gradients in slow_bucket_gradients(losses, tensors).items()
            }
            objects = sum(float(twin[b].square().sum()) for b in partition.labels[:-1])
            for name, gradient in twin.items():
                record = one(sample, tap=tap.name, kind=kind, bucket=name)
                assert record.l2 == pytest.approx(float(gradient.norm()), rel=1e-10)
                if name != "background":
                    expected = float(gradient.square().sum()) / objects
                    assert record.share == pytest.approx(expected, rel=1e-10)
            whole = one(sample, tap=tap.name, kind=kind, bucket="all")
            assert whole.l2 == pytest.approx(float(sum(twin.values()).norm()), rel=1e-10)  # type: ignore[union-attr]
            for c in sample.conflicts:
                if (c.tap, c.kind) == (tap.name, kind):
                    a, b = twin[c.bucket_a], twin[c.bucket_b]
                    expected = float(a @ b / (a.norm() * b.norm()))
                    assert c.cosine == pytest.approx(expected, abs=1e-10)
    assert len(sample.conflicts) == 6 * (6 + 3)  # pairs of labels x (activations + parameters)
    assert one(sample, tap="C2", bucket="small").n_objects == 2
    assert one(sample, tap="C2", bucket="all").n_rows == 21


@pytest.mark.parametrize("mode", ["routes", "full"])
def test_all_ways_to_the_undivided_gradient_agree(mode: str) -> None:
    model, x = ToyPyramid(auxiliary=True), images()
    at_once = Probe(mode).measure(*model.measured(x))  # type: ignore[arg-type]
    audited = measured_in_training(model, x, Probe(mode))  # type: ignore[arg-type]
    model.zero_grad()
    derived = measured_in_training(model, x, Probe(mode, derive=True))  # type: ignore[arg-type]
    assert_same_records(at_once, audited, tolerance=1e-12)
    assert_same_records(at_once, derived, tolerance=1e-12)
    assert (at_once.passes, audited.passes, derived.passes) == (5, 4, 3)
    for sample in (at_once, audited):
        assert_partition_sums_to_total(sample, tolerance=1e-10)
    assert math.isnan(derived.residuals.gradient)
    for sample in (at_once, audited, derived):
        assert_routes_sum_to_total(sample, tolerance=1e-10)
    assert_no_hooks_left(model)


@pytest.mark.parametrize("derive", [False, True])
def test_measuring_does_not_change_training_by_a_bit(derive: bool) -> None:
    x = images().float()
    gradients = []
    for probed in (False, True):
        torch.manual_seed(0)
        model = ToyPyramid(auxiliary=True).float()
        loss, partition, taps = model.measured(x)
        if probed:
            with Probe("full", derive=derive).begin(loss, partition, taps) as measurement:
                measurement.run()
                assert all(p.grad is None for p in model.parameters())
                with measurement.total_from_backward():
                    loss.backward()
                measurement.finish()
        else:
            loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert a is not None and b is not None and torch.equal(a, b)


def test_the_loss_scale_goes_out_and_the_weight_stays_in() -> None:
    model, x = ToyPyramid(), images()
    plain = Probe("full").measure(*model.measured(x))
    loss, partition, taps = model.measured(x)
    with Probe("full").begin(
        loss, partition, taps, StepContext(weight=0.5, loss_scale=1024)
    ) as measurement:
        measurement.run()
        with measurement.total_from_backward():
            (loss * 0.5 * 1024).backward()
        scaled = measurement.finish()
    assert_partition_sums_to_total(scaled, tolerance=1e-10)
    assert scaled.loss == pytest.approx(plain.loss / 2, rel=1e-12)
    assert sum(scaled.values.values()) == pytest.approx(plain.loss / 2, rel=1e-12)
    for a, b in zip(plain.records, scaled.records, strict=True):
        assert b.l2 == pytest.approx(a.l2 / 2, rel=1e-10, abs=1e-15)


def test_terms_and_levels_add_up() -> None:
    model = ToyPyramid(auxiliary=True)
    loss, partition, taps = model.measured(images())
    sample = Probe(terms="both").measure(loss, partition, taps)
    assert {r.term for r in sample.records} == {"all", "loss", "aux2", "L2", "L3", "L4"}
    # P4 is reached by the term of its own level alone and, top-down, by those below it.
    alone = Probe(terms="level").measure(loss, partition, taps)
    assert one(alone, tap="P2", bucket="small", term="L4").l2 == 0
    assert one(alone, tap="P4", bucket="small", term="L2").l2 > 0
    # At the auxiliary head's own stage, its term is its route.
    term = one(sample, tap="C2", bucket="large", term="aux2")
    route = one(sample, tap="C2", bucket="large", route="auxiliary")
    assert term.l2 == pytest.approx(route.l2, rel=1e-12)


def test_a_frozen_stage_is_frozen_and_not_zero() -> None:
    model = ToyPyramid()
    model.layer1.requires_grad_(False)
    sample = Probe("full").measure(*model.measured(images()))
    for kind, route in (("activation", "total"), ("activation", "direct"), ("parameter", "total")):
        record = one(sample, tap="C2", kind=kind, route=route, bucket="small")
        assert record.state == "frozen" and math.isnan(record.l2) and math.isnan(record.share)
    assert one(sample, tap="C3", bucket="small").state == "measured"
    assert_partition_sums_to_total(sample, tolerance=1e-10)


def test_a_stage_that_the_loss_does_not_reach_is_zero_and_not_frozen() -> None:
    c2, c3 = (torch.ones(2, requires_grad=True) * 1 for _ in range(2))
    partition = LossPartition()
    rows = c2 * 3
    partition.add_rows(rows, torch.tensor([0, 3]))
    sample = Probe().measure(rows.sum(), partition, [Tap("C2", 2, c2), Tap("C3", 3, c3)])
    record = one(sample, tap="C3", bucket="small")
    assert (record.l2, record.state) == (0.0, "measured")


def test_a_nonfinite_sample_says_so() -> None:
    c2 = torch.zeros(3, requires_grad=True) * 1
    partition = LossPartition()
    rows = c2.sqrt()  # infinite slope at zero
    partition.add_rows(rows, torch.tensor([0, 1, 3]))
    sample = Probe("full").measure(rows.sum(), partition, [Tap("C2", 2, c2, routed=True)])
    assert not sample.finite and {r.state for r in sample.records} == {"nonfinite"}
    assert sample.conflicts == ()


def test_another_verdict_makes_no_cosine_usable_and_loses_none() -> None:
    sample = Probe("full").measure(*ToyPyramid().measured(images()))
    unsound = sample.judged(replace(sample.verdict, sound=False))
    assert len(sample.conflicts) and unsound.conflicts == ()
    assert {r.state for r in unsound.records} == {"unsound"}
    acquitted = unsound.judged(replace(sample.verdict, sound=True))
    assert acquitted == sample


def test_a_sample_that_is_acquitted_as_rounding_has_its_cosines() -> None:
    c2 = with_gradient(torch.ones(3))  # of a frozen stage
    partition = LossPartition()
    rows = torch.stack([c2.sum(), c2[:2].sum()])
    partition.add_rows(rows, torch.tensor([0, 2]))
    loss = rows.sum() + 1e-3 * c2.sum()  # a term that no row holds
    sample = Probe("full").measure(loss, partition, [Tap("C2", 2, c2, routed=True)])
    assert not sample.sound and sample.conflicts == ()
    acquitted = sample.judged(replace(sample.verdict, sound=True))
    assert [(c.bucket_a, c.bucket_b) for c in acquitted.conflicts] == [("small", "large")]
    assert {r.state for r in sample.records} == {"unsound"}
    assert {r.state for r in acquitted.records} == {"would_arrive"}


def test_a_batch_without_objects_is_background() -> None:
    c2 = torch.ones(3, requires_grad=True) * 1
    partition = LossPartition(objects=[0, 0, 0])
    rows = c2 * 2
    partition.add_rows(rows, torch.full((3,), 3))
    sample = Probe().measure(rows.sum(), partition, [Tap("C2", 2, c2, routed=True)])
    assert sample.passes == 2  # one for the background, one for the undivided gradient
    small = one(sample, tap="C2", bucket="small")
    assert small.l2 == 0 and math.isnan(small.share) and small.n_objects == 0
    assert one(sample, tap="C2", bucket="background").l2 == one(sample, tap="C2", bucket="all").l2


def test_a_derived_bucket_needs_a_backward_pass() -> None:
    loss, partition, taps = ToyPyramid().measured(images())
    with Probe(derive=True).begin(loss, partition, taps) as measurement:
        measurement.run()
        with pytest.raises(FpnProbeError, match="total_from_backward"):
            measurement.finish()


def test_the_label_to_derive_is_chosen_at_the_taps_and_not_at_the_predictions() -> None:
    """Background has the most cotangent energy here, and next to none of it reaches C2."""
    c2 = torch.randn(4, 3, dtype=torch.float64, requires_grad=True) * 1
    factor = torch.tensor([1.0, 2.0, 1.0, 1e-6], dtype=torch.float64)
    rows = c2.square().sum(1) * factor
    partition = LossPartition()
    partition.add_rows(rows, torch.arange(4))
    loss = (rows * torch.tensor([1.0, 1, 1, 50], dtype=torch.float64)).sum()
    taps = [Tap("C2", 2, c2, routed=True)]
    with Probe(derive=True).begin(loss, partition, taps) as measurement:
        measurement.run()
        assert measurement._derived == 3  # nobody said which: the largest at the predictions
    chosen = steadiest(Probe().measure(loss, partition, taps))
    assert chosen == 1
    with Probe(derive=True, derived=chosen).begin(loss, partition, taps) as measurement:
        measurement.run()
        measurement.total_now()
        assert_same_records(measurement.finish(), Probe().measure(loss, partition, taps))


@pytest.mark.parametrize("where", ["run", "backward"])
def test_hooks_are_gone_after_an_exception(where: str) -> None:
    model = ToyPyramid(auxiliary=True)
    loss, partition, taps = model.measured(images())
    with (
        pytest.raises(RuntimeError, match="stop"),
        Probe("full").begin(loss, partition, taps) as measurement,
    ):
        measurement.run()
        if where == "run":
            raise RuntimeError("stop")
        with measurement.total_from_backward():
            raise RuntimeError("stop")
    assert_no_hooks_left(model)
    assert all(not (t.activation._backward_hooks) for t in taps if t.activation is not None)


class _TwoAlike(Reduction):
    """Two processes that see the same batch."""

    @property
    def processes(self) -> int:
        return 2

    def sum(self, values: Tensor) -> Tensor:
        return values * 2

    def mean(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        return list(gradients)


def test_two_processes_give_the_numbers_of_the_global_batch() -> None:
    model, x = ToyPyramid(), images()
    whole = torch.cat([x, x])
    loss, drawn, taps = model.measured(whole)
    labels = (torch.arange(6) % 4).repeat(2)
    partition = LossPartition(objects=[4, 4, 2])
    for call in drawn.calls:
        partition.add_rows(call.rows, labels)
    together = Probe("full").measure(loss, partition, taps)
    apart = Probe("full", reduction=_TwoAlike()).measure(*model.measured(x))
    assert_same_records(together, apart, tolerance=1e-12)
    assert apart.loss == pytest.approx(together.loss, rel=1e-12)
    for a, b in zip(together.records, apart.records, strict=True):
        assert (a.n_objects, a.n_rows) == (b.n_objects, b.n_rows)
    for p, q in zip(together.conflicts, apart.conflicts, strict=True):
        assert p.cosine == pytest.approx(q.cosine, abs=1e-10)


def test_a_probe_has_known_options() -> None:
    with pytest.raises(FpnProbeError, match="mode 'fast': expected one of routes, full"):
        Probe("fast")  # type: ignore[arg-type]
    with pytest.raises(FpnProbeError, match="terms 'all'"):
        Probe(terms="all")  # type: ignore[arg-type]
