import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing import LossCall, LossPartition, Probe, Tap
from fpnprobe.probing.calls import masked
from fpnprobe.testing import (
    ToyPyramid,
    assert_no_hooks_left,
    assert_partition_sums_to_total,
    assert_routes_sum_to_total,
    relative_distance,
    slow_bucket_gradients,
)


@settings(max_examples=25, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    seed=st.integers(0, 2**16),
    auxiliary=st.booleans(),
)
def test_bucket_gradients_are_those_of_the_buckets_own_loss(
    labels: list[int], seed: int, auxiliary: bool
) -> None:
    torch.manual_seed(seed)
    model = ToyPyramid(auxiliary=auxiliary)
    images = torch.randn(len(labels), 3, 8, 8, dtype=torch.float64)
    loss, drawn, taps = model.measured(images)
    marks = torch.tensor(labels)
    partition = LossPartition()
    for call in drawn.calls:
        partition.add_rows(call.rows, marks, term=call.term, levels=call.levels)
    inputs = [tap.activation for tap in taps if tap.activation is not None]
    inputs += [p for tap in taps for p in tap.parameters]
    cotangents, values = partition.cotangents(loss)

    # The twin: the loss of each bucket by itself, from the formula of the model.
    def own_loss(label: int) -> torch.Tensor:
        kept = (marks == label).double()
        levels = sum((c.rows * kept).sum() for c in drawn.calls if c.term == "loss") / len(marks)
        helped = sum((c.rows * kept).sum() for c in drawn.calls if c.term == "aux2")
        return torch.as_tensor(levels + 0.5 * helped)

    losses = {name: own_loss(i) for i, name in enumerate(partition.labels)}
    twin = slow_bucket_gradients(losses, inputs)
    for i, name in enumerate(partition.labels):
        rows, starts = masked(cotangents, i)
        assert float(values[i]) == pytest.approx(float(losses[name].detach()), rel=1e-12)
        if rows:
            found = torch.autograd.grad(rows, inputs, starts, retain_graph=True, allow_unused=True)
            whole = [
                torch.zeros_like(t) if g is None else g for t, g in zip(inputs, found, strict=True)
            ]
            assert relative_distance(whole, twin[name]) < 1e-10
        else:
            assert name not in {partition.labels[j] for j in labels}
    sample = Probe("full").measure(loss, partition, taps)
    assert_partition_sums_to_total(sample, tolerance=1e-10)
    assert_routes_sum_to_total(sample, tolerance=1e-10)
    assert_no_hooks_left(model)


def test_a_call_that_reduces_is_split_at_its_rows() -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 1, 3, 0])
    weight = torch.rand(5, 1, dtype=torch.float64)
    prediction = x * 2
    loss = (prediction.exp() * weight).sum() / 7
    values = torch.stack([(prediction.exp() * weight)[labels == i].sum() / 7 for i in range(4)])
    partition = LossPartition()
    partition.add(LossCall("loss_cls", "roi", prediction, loss, labels, values.detach()))
    cotangents, found = partition.cotangents(loss * 3)
    assert found.tolist() == pytest.approx((values * 3).tolist())
    for i in range(4):
        rows, starts = masked(cotangents, i)
        own = 3 * (prediction.exp() * weight)[labels == i].sum() / 7
        (twin,) = torch.autograd.grad(own, x, retain_graph=True)
        if rows:
            (gradient,) = torch.autograd.grad(rows, x, starts, retain_graph=True)
            torch.testing.assert_close(gradient, twin, rtol=1e-12, atol=0)


def test_the_loss_scale_is_on_cotangents_and_not_on_values() -> None:
    x = torch.ones(2, requires_grad=True)
    rows = x * 3
    partition = LossPartition()
    partition.add_rows(rows, torch.tensor([0, 1]))
    cotangents, values = partition.cotangents(rows.sum(), scale=512)
    assert cotangents[0].cotangent.tolist() == [512, 512]
    assert values.tolist() == [3, 3, 0, 0]


def test_an_infinite_cotangent_stays_in_its_own_bucket() -> None:
    x = torch.ones(2, requires_grad=True)
    rows = x * 3
    partition = LossPartition()
    partition.add_rows(rows, torch.tensor([0, 1]))
    weights = torch.tensor([float("inf"), 1.0])
    cotangents, _ = partition.cotangents((rows * weights).sum())
    found, starts = masked(cotangents, 1)
    assert torch.autograd.grad(found, x, starts)[0].tolist() == [0, 3]


def test_a_call_outside_of_the_loss_counts_for_nothing() -> None:
    x = torch.ones(2, requires_grad=True)
    rows, other = x * 3, x * 5
    partition = LossPartition()
    partition.add_rows(rows, torch.tensor([0, 1]))
    partition.add_rows(other, torch.tensor([0, 1]), term="unused")
    assert partition.cotangents(rows.sum())[1].tolist() == [3, 3, 0, 0]


def test_a_missing_term_shows_in_the_residual() -> None:
    c2 = torch.ones(4, requires_grad=True) * 2
    rows = c2**2
    partition = LossPartition()
    partition.add_rows(rows, torch.arange(4))
    sample = Probe().measure(rows.sum() + c2.sum(), partition, [Tap("C2", 2, c2, routed=True)])
    assert sample.residuals.loss == pytest.approx(8 / 24)
    with pytest.raises(AssertionError, match="loss: residual"):
        assert_partition_sums_to_total(sample)


def test_terms_and_levels_count_their_rows() -> None:
    rows = torch.ones(4, requires_grad=True) * 1
    partition = LossPartition()
    labels = torch.tensor([0, 0, 3, 3])
    partition.add_rows(rows, labels, term="rpn", levels=torch.tensor([2, 3, 3, -1]))
    partition.add_rows(rows, labels, term="roi")
    assert partition.terms == ["rpn", "roi"]
    assert partition.level_terms() == ["L2", "L3"]
    assert partition.count() == [4, 0, 0, 4]
    assert partition.count("roi") == [2, 0, 0, 2]
    assert partition.count("L3") == [1, 0, 0, 1]


def test_background_counts_the_rows_that_carry_loss() -> None:
    """Anchors that were ignored or not sampled have weight 0; an object's rows all count."""
    x = torch.ones(6, requires_grad=True)
    rows = x * 3
    partition = LossPartition()
    partition.add_rows(rows, torch.tensor([0, 0, 3, 3, 3, 3]), levels=torch.arange(6))
    assert partition.count() == [2, 0, 0, 4]
    partition.cotangents((rows * torch.tensor([1.0, 0, 1, 0, 0, 1])).sum())
    assert partition.count() == [2, 0, 0, 2]
    assert partition.count("loss") == [2, 0, 0, 2]
    assert [partition.count(f"L{level}")[-1] for level in range(2, 6)] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (torch.ones(3), torch.tensor([0, 1]), "every row of the loss needs one label"),
        (torch.ones(2), torch.tensor([0, 4]), r"labels 0..4, expected 0..3"),
        (torch.ones(2), torch.tensor([-1, 0]), "labels -1..0"),
    ],
)
def test_labels_that_do_not_fit(rows: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(FpnProbeError, match=message):
        LossPartition().add_rows(rows, labels)


def test_the_loss_of_a_bucket_has_a_known_name_and_one_value() -> None:
    with pytest.raises(FpnProbeError, match="no bucket 'tiny'"):
        LossPartition().add_bucket("tiny", torch.ones(()))
    with pytest.raises(FpnProbeError, match="expected a scalar"):
        LossPartition().add_bucket("small", torch.ones(3))


def test_a_call_without_rows_is_nothing() -> None:
    x = torch.ones(2, requires_grad=True)
    partition = LossPartition()
    partition.add_rows(x * 3, torch.tensor([0, 1]))
    partition.add_rows(x[:0], torch.zeros(0, dtype=torch.long))
    loss = sum((call.rows.sum() for call in partition.calls), torch.zeros(()))
    assert partition.cotangents(loss)[1].tolist() == [3, 3, 0, 0]


def test_every_auxiliary_term_is_found() -> None:
    """`aux2` to `aux5` alike, and nothing else."""
    partition = LossPartition()
    losses = {}
    for term in ("rpn", "aux2", "aux3", "aux5", "roi"):
        losses[term] = torch.ones(1, requires_grad=True) * 2
        partition.add_rows(losses[term], torch.zeros(1, dtype=torch.long), term=term)
    found = partition.auxiliary_losses()
    assert len(found) == 3
    assert all(any(loss is losses[term] for loss in found) for term in ("aux2", "aux3", "aux5"))


def test_level_zero_is_a_level_and_below_it_is_none() -> None:
    partition = LossPartition()
    rows = torch.ones(4, requires_grad=True) * 2
    labels = torch.zeros(4, dtype=torch.long)
    partition.add_rows(rows, labels, levels=torch.tensor([0, 3, -1, 0]))
    assert partition.level_terms() == ["L0", "L3"]


def test_calls_are_told_apart_by_what_they_are() -> None:
    """They hold tensors, whose numbers have no single truth: a list of calls can be searched."""
    rows = torch.ones(3)
    first, second = (LossCall("a", "loss", rows, rows, torch.zeros(3).long()) for _ in range(2))
    assert [first, second].index(second) == 1
    assert first != second
