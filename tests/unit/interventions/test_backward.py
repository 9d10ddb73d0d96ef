"""The intervened backward pass equals its closed form, written out path by path in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions import Intervention
from fpnprobe.interventions.backward import IntervenedBackward
from fpnprobe.testing import ToyPyramid, assert_no_hooks_left, relative_distance

IMAGES = torch.randn(8, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
STAGES = ("C2", "C3", "C4")


def gain_of(intervention: Intervention, stage: str, route: str, label: int) -> float:
    names = ("small", "medium", "large", "background")
    product = 1.0
    for gain in intervention.gains:
        here = stage in gain.stages and route == gain.route
        if here and gain.bucket in ("all", names[label]):
            product *= gain.gain
    return product


class Scale(torch.autograd.Function):
    """Identity forward, a factor backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float) -> Tensor:
        ctx.gain = gain
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.gain, None


def slow(model: ToyPyramid, intervention: Intervention) -> list[Tensor]:
    """One forward and backward pass for each image's bucket, with scaled identities on the ways."""
    labels = torch.arange(len(IMAGES)) % 4
    total = [torch.zeros_like(p) for p in model.parameters()]
    for label in range(4):
        layers = (model.layer1, model.layer2, model.layer3)
        stages, x = [], IMAGES
        for name, layer in zip(STAGES, layers, strict=True):
            c = layer(x)
            stages.append(Scale.apply(c, gain_of(intervention, name, "direct", label)))
            x = Scale.apply(c, gain_of(intervention, name, "deeper", label))
        parts = model.rows(model.pyramid(stages))
        loss = sum((rows[labels == label].sum() for rows in parts), torch.zeros(()).double())
        found = torch.autograd.grad(loss / len(IMAGES), list(model.parameters()), allow_unused=True)
        total = [t if g is None else t + g for t, g in zip(total, found, strict=True)]
    return total


def intervened(model: ToyPyramid, intervention: Intervention, factor: float = 1.0) -> list[Tensor]:
    model.zero_grad()
    loss, partition, taps = model.measured(IMAGES)
    with IntervenedBackward(intervention).around(loss, partition, taps, iteration=0, factor=factor):
        (loss * factor).backward()
    return [p.grad / factor for p in model.parameters() if p.grad is not None]


def plain(model: ToyPyramid) -> list[Tensor]:
    model.zero_grad()
    loss, _, _ = model.measured(IMAGES)
    loss.backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


CASES: list[Any] = [
    [{"stages": "C2..C3", "route": "direct", "gain": 0.0}],
    [{"stages": "C2..C3", "route": "deeper", "gain": 0.5}],
    [{"stages": "C2..C4", "route": "direct", "bucket": "small", "gain": 0.0}],
    [{"stages": "C2..C3", "route": "deeper", "bucket": "large", "gain": 3.0}],
    [
        {"stages": "C2..C3", "route": "deeper", "gain": 0.25},
        {"stages": "C2..C4", "route": "direct", "bucket": "medium", "gain": 2.0},
        {"stages": ["C3"], "route": "deeper", "bucket": "small", "gain": 5.0},
        {"stages": ["C2"], "route": "direct", "bucket": "background", "gain": 0.0},
    ],
]


@pytest.mark.parametrize("data", CASES)
@pytest.mark.parametrize("factor", [1.0, 1024.0])
def test_parameter_gradients_equal_the_closed_form(data: Any, factor: float) -> None:
    model, intervention = ToyPyramid(), Intervention.of(data)
    expected = slow(model, intervention)
    assert relative_distance(plain(model), expected) > 1e-3  # the test can fail
    assert relative_distance(intervened(model, intervention, factor), expected) < 1e-10


@pytest.mark.parametrize("bucket", ["all", "small"])
def test_gains_of_one_change_no_bit(bucket: str) -> None:
    model = ToyPyramid()
    data = [{"stages": "C2..C3", "route": "direct", "bucket": bucket, "gain": 1.0}]
    for a, b in zip(intervened(model, Intervention.of(data)), plain(model), strict=True):
        assert torch.equal(a, b)


def test_a_term_that_the_loss_does_not_have_is_refused() -> None:
    data = [{"stages": "C2", "route": "direct", "term": "rpn", "gain": 0.0}]
    with pytest.raises(FpnProbeError, match="no term 'rpn' here"):
        intervened(ToyPyramid(), Intervention.of(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([{"stages": "C5", "route": "direct", "gain": 0.0}], "gives no C5"),
        ([{"stages": "C4", "route": "deeper", "gain": 0.0}], "C4 has no deeper route"),
        ([{"stages": "C2", "route": "auxiliary", "gain": 0.0}], "no auxiliary route"),
        ([{"stages": "C2", "route": "direct", "bucket": "huge", "gain": 0.0}], "no bucket 'huge'"),
    ],
)
def test_what_does_not_exist_is_refused(data: Any, message: str) -> None:
    with pytest.raises(FpnProbeError, match=message):
        intervened(ToyPyramid(), Intervention.of(data))


def test_a_frozen_stage_is_refused() -> None:
    model = ToyPyramid()
    for parameter in model.layer1.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(FpnProbeError, match="C2 is frozen"):
        intervened(model, Intervention.of([{"stages": "C2", "route": "direct", "gain": 0.0}]))


def test_nothing_is_left_after_an_exception() -> None:
    model = ToyPyramid()
    loss, partition, taps = model.measured(IMAGES)
    around = IntervenedBackward(Intervention.of(CASES[4])).around(
        loss, partition, taps, iteration=0
    )
    with pytest.raises(RuntimeError, match="stop"), around:
        raise RuntimeError("stop")
    assert_no_hooks_left(model)
    loss.backward()  # the same graph, after the exception: an ordinary backward pass
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    for a, b in zip(found, plain(model), strict=True):
        assert torch.equal(a, b)


def test_balanced_routes_carry_equal_shares() -> None:
    model = ToyPyramid()
    rule = Intervention.of({"balance": {"stages": "C2..C3", "begin": 0, "limit": 1e6}})
    backward = IntervenedBackward(rule)
    for iteration in range(2):  # the first pass only listens: no energy is known
        loss, partition, taps = model.measured(IMAGES)
        with backward.around(loss, partition, taps, iteration=iteration):
            loss.backward()
        model.zero_grad()
    assert rule.balance is not None
    gains = {stage: rule.balance.gains(e) for stage, e in backward.energy.items()}
    fixed = [
        {"stages": stage, "route": "direct", "bucket": name, "gain": float(gain)}
        for stage, found in gains.items()
        for name, gain in zip(("small", "medium", "large"), found, strict=True)
    ]
    loss, partition, taps = model.measured(IMAGES)
    with backward.around(loss, partition, taps, iteration=2):
        loss.backward()
    found_grad = [p.grad for p in model.parameters() if p.grad is not None]
    assert relative_distance(found_grad, slow(model, Intervention.of(fixed))) < 1e-10
    for stage, energy in backward.energy.items():
        after = gains[stage] ** 2 * energy
        assert after.max() / after.min() < 1 + 1e-9
