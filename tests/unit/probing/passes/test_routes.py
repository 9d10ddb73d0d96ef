import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing import LossPartition, Probe, Routes, Tap
from fpnprobe.probing.graph_guards.checkpoints import refuse_reentrant
from fpnprobe.probing.passes.backward import Passes
from fpnprobe.probing.passes.gradient_key import GradientKey
from fpnprobe.probing.passes.moments import Gradients
from fpnprobe.probing.passes.reduction import Reduction
from fpnprobe.probing.step_context import StepContext
from fpnprobe.testing import ToyPyramid, assert_routes_sum_to_total

STAGES = ("C2", "C3", "C4")


def gradients_through_views(model: ToyPyramid, images: Tensor) -> dict[tuple[str, str], Tensor]:
    """The twin: every consumer of a stage output reads its own identity view of it."""
    views: dict[tuple[str, str], Tensor] = {}

    def view(stage: str, route: str, c: Tensor) -> Tensor:
        views[stage, route] = c.view_as(c)
        return views[stage, route]

    c2 = model.layer1(images)
    c3 = model.layer2(view("C2", "deeper", c2))
    c4 = model.layer3(view("C3", "deeper", c3))
    levels = model.pyramid(
        [view(n, "direct", c) for n, c in zip(STAGES, (c2, c3, c4), strict=True)]
    )
    loss = torch.stack([rows.sum() for rows in model.rows(levels)]).sum() / len(images)
    if model.auxiliary is not None:
        own = model.auxiliary(view("C2", "auxiliary", c2)).square().mean((1, 2, 3))
        loss = loss + 0.5 * own.sum()
    return dict(zip(views, torch.autograd.grad(loss, [*views.values()]), strict=True))


@pytest.mark.parametrize("auxiliary", [False, True])
def test_edges_carry_what_identity_views_carry(auxiliary: bool) -> None:
    model = ToyPyramid(auxiliary=auxiliary)
    images = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    twin = gradients_through_views(model, images)
    loss, partition, taps = model.measured(images)
    features = {t.name: t.activation for t in taps if t.routed and t.activation is not None}
    helped = [call.loss for call in partition.calls if call.term == "aux2"]
    with Routes(loss, features, auxiliary=helped) as routes:
        torch.autograd.grad(loss, [*features.values()])
        found = routes.take()
        assert routes.used == (
            ("direct", "auxiliary", "deeper") if auxiliary else ("direct", "deeper")
        )
    assert found.keys() == twin.keys()
    for key, gradient in twin.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-12, atol=1e-15)


def test_a_stage_that_feeds_two_later_stages_loses_nothing() -> None:
    c2 = torch.ones(3, dtype=torch.float64, requires_grad=True) * 2
    c3 = c2.exp()
    c4 = c3.sin() + c2.cos()  # a shortcut around C3
    rows = c4.square()
    partition = LossPartition()
    partition.add_rows(rows, torch.tensor([0, 1, 2]))
    taps = [Tap(f"C{i}", i, c, routed=True) for i, c in enumerate((c2, c3, c4), start=2)]
    sample = Probe().measure(rows.sum(), partition, taps)
    assert_routes_sum_to_total(sample, tolerance=1e-12)
    direct = {r.tap: r.l2 for r in sample.records if (r.route, r.bucket) == ("direct", "all")}
    assert direct["C2"] == direct["C3"] == 0 and direct["C4"] > 0


def test_a_tap_before_the_fork_is_refused() -> None:
    before = torch.ones(4, requires_grad=True) * 2
    c2 = before.tanh()
    c3 = c2.exp()
    with pytest.raises(FpnProbeError, match="C2: its consumers read something computed from it"):
        Routes((c2 + c3).sum(), {"C2": before, "C3": c3})
    Routes((c2 + c3).sum(), {"C2": c2, "C3": c3}).remove()


def test_one_output_of_a_node_with_several_is_told_apart() -> None:
    parts = (torch.ones(4, requires_grad=True) * 2).split(2)
    loss = (parts[0] * 3).sum() + (parts[1] * 7).sum()
    with Routes(loss, {"C2": parts[0]}) as routes:
        torch.autograd.grad(loss, parts[0], retain_graph=True)
        assert routes.take()["C2", "direct"].tolist() == [3, 3]


def test_a_head_without_a_loss_of_its_own_is_still_auxiliary() -> None:
    """A head with no positives contributes `prediction.sum() * 0`, which no loss call reports."""
    c2 = torch.ones(4, requires_grad=True) * 2
    prediction = c2 * 5
    loss = c2.sum() + prediction.sum() * 0
    with Routes(loss, {"C2": c2}, auxiliary=[prediction]) as routes:
        torch.autograd.grad(loss, c2)
        found = routes.take()
    assert found["C2", "direct"].tolist() == [1] * 4
    assert found["C2", "auxiliary"].tolist() == [0] * 4


def test_hooks_are_gone_after_an_exception() -> None:
    c2 = torch.ones(2, requires_grad=True) * 2
    loss = c2.sum()
    routes = Routes(loss, {"C2": c2})
    with pytest.raises(RuntimeError, match="stop"), routes:
        raise RuntimeError("stop")
    torch.autograd.grad(loss, c2, retain_graph=True)
    assert routes.take() == {}


@pytest.mark.filterwarnings("ignore:None of the inputs")
def test_reentrant_checkpoints_are_refused_and_others_are_exact() -> None:
    layer = nn.Linear(3, 3).double()
    images = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    refused = checkpoint(layer, images, use_reentrant=True)
    with pytest.raises(FpnProbeError, match="use_reentrant=False"):
        refuse_reentrant(refused.sum())
    samples = []
    for again in (True, False):
        c2 = checkpoint(layer, images, use_reentrant=False) if again else layer(images)
        c3 = checkpoint(layer, c2, use_reentrant=False) if again else layer(c2)
        rows = (c2 + c3).square().sum(1)
        partition = LossPartition()
        partition.add_rows(rows, torch.arange(4))
        taps = [Tap("C2", 2, c2, routed=True), Tap("C3", 3, c3, routed=True)]
        samples.append(Probe().measure(rows.sum(), partition, taps))
        assert_routes_sum_to_total(samples[-1], tolerance=1e-12)
    assert [r.l2 for r in samples[0].records] == [r.l2 for r in samples[1].records]


@pytest.mark.parametrize("derive", [False, True])
def test_routes_that_part_after_the_stage_output_are_pulled_back(derive: bool) -> None:
    """As in Swin: neck and auxiliary head read the normed map, the next stage the plain one."""

    def forward(views: bool) -> tuple[Tensor, list[Tensor], Tensor, Tensor, Tensor, Tensor]:
        torch.manual_seed(3)
        norm, down = nn.LayerNorm(4).double(), nn.Linear(4, 4).double()
        c2 = torch.randn(6, 4, dtype=torch.float64, requires_grad=True) * 2
        own = [c2.view_as(c2) for _ in range(3)] if views else [c2] * 3
        exits = [norm(own[0]), norm(own[1])] if views else [norm(c2)] * 2
        c3 = down(own[2]).tanh()
        rows = (exits[0].sin() + c3).sum(1)
        helped = exits[1].exp().sum(1)
        return (rows + helped).sum(), own, exits[0], c3, rows, helped

    loss, own, *_ = forward(views=True)
    twin = torch.autograd.grad(loss, own)
    loss, (c2, *_), exit_map, c3, rows, helped = forward(views=False)
    partition = LossPartition()
    labels = torch.arange(6) % 4
    partition.add_rows(rows, labels)
    partition.add_rows(helped, labels, term="aux2")
    taps = [Tap("C2", 2, c2, routed=True, exit=exit_map), Tap("C3", 3, c3, routed=True)]
    with Probe("full", derive=derive).begin(loss, partition, taps) as measurement:
        measurement.run()
        with measurement.total_from_backward():
            loss.backward()
        sample = measurement.finish()
    found = {r.route: r.l2 for r in sample.records if (r.tap, r.bucket) == ("C2", "all")}
    for route, gradient in zip(("direct", "auxiliary", "deeper"), twin, strict=True):
        assert found[route] == pytest.approx(float(gradient.norm()), rel=1e-10)
    assert sample.passes == 4  # nothing can be derived where the graph is needed
    assert_routes_sum_to_total(sample, tolerance=1e-12)
    assert sample.residuals.gradient < 1e-12


def test_what_was_pulled_back_is_counted_once() -> None:
    """The pull runs through the nodes that are listened to; nothing of it is left behind."""
    norm = nn.LayerNorm(4).double()
    c2 = torch.randn(6, 4, dtype=torch.float64, requires_grad=True) * 2
    exit_map = norm(c2)
    rows, helped = exit_map.sin().sum(), exit_map.exp().sum()
    with Routes(rows + helped, {"C2": c2}, auxiliary=[helped], exits={"C2": exit_map}) as routes:
        torch.autograd.grad(rows + helped, c2, retain_graph=True)
        found = routes.take()
        assert routes.take() == {}
    for route, loss in (("direct", rows), ("auxiliary", helped)):
        (own,) = torch.autograd.grad(loss, c2, retain_graph=True)
        torch.testing.assert_close(found["C2", route], own, rtol=1e-10, atol=1e-12)


def test_what_another_pass_left_does_not_enter_the_next_one() -> None:
    """Somebody differentiates the loss between two of the probe's passes."""
    c2 = torch.ones(3, dtype=torch.float64, requires_grad=True) * 2
    c3 = c2.exp()
    loss = (c2 * 5 + c3).sum()
    taps = [Tap("C2", 2, c2, routed=True), Tap("C3", 3, c3, routed=True)]
    passes = Passes(loss, taps, parameters=False, step=StepContext(), reduction=Reduction())
    torch.autograd.grad(loss, c2, retain_graph=True)
    found: dict[str, Tensor] = {}

    def sink(gradients: dict[GradientKey, Gradients]) -> None:
        for place, (gradient,) in gradients.items():
            if place.tap == "C2" and gradient is not None:
                found[place.route] = gradient

    passes.of_loss(sink)
    passes.close()
    assert found["direct"].tolist() == [5] * 3
    torch.testing.assert_close(found["total"], found["direct"] + found["deeper"])
