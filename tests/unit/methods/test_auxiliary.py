"""Auxiliary heads, uncertainty and DC5 against their equations."""

import math
from typing import Any

import pytest
import torch
import torchvision.models
from hypothesis import given
from hypothesis import strategies as st

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import (
    AuxiliaryRoIHead,
    Uncertainty,
    UncertaintyOptions,
    auxiliary_rows,
    dilate_stage,
    twins,
    weigh_rows,
)
from fpnprobe.methods.uncertainty import optimal_damping
from tests.unit.methods.asserts import assert_close, assert_equals_twin

ROIS = torch.tensor(
    [[0, 3.0, 5.0, 17.0, 20.0], [1, 0.0, 0.0, 31.0, 31.0], [0, 12.0, 2.0, 15.0, 30.0]],
    dtype=torch.float64,
)


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("width", [6, None], ids=["projected", "raw"])
def test_auxiliary_head_equals_the_equation(width: int | None, stride: int) -> None:
    head = AuxiliaryRoIHead(5, stride=stride, classes=3, width=width, hidden=8, size=3).double()
    cells = 32 // stride
    stage = torch.randn(2, 5, cells, cells, dtype=torch.float64, requires_grad=True)
    fast = lambda c: head(c, ROIS)[:2]  # noqa: E731
    assert_equals_twin(head, fast, lambda c: twins.auxiliary_head(head, c, ROIS), [stage])


def test_auxiliary_rows_sum_to_the_loss_of_the_equation() -> None:
    scores = torch.randn(6, 4, dtype=torch.float64)
    deltas, targets = torch.randn(2, 6, 4, dtype=torch.float64)
    labels = torch.tensor([0, 3, 2, 3, 1, 3])
    rows = auxiliary_rows(scores, deltas, labels=labels, targets=targets, weight=0.7)
    twin = twins.auxiliary_loss(scores, deltas, labels=labels, targets=targets, weight=0.7)
    for ours, whole in zip(rows, twin, strict=True):
        assert_close(ours.sum(), whole)
    assert (rows[1][labels == 3] == 0).all()


@pytest.mark.parametrize("coefficient", ["capped", "tau"])
@pytest.mark.parametrize("granularity", ["prediction", "level"])
def test_uncertain_loss_equals_the_equations(granularity: Any, coefficient: Any) -> None:
    options = UncertaintyOptions(tau=0.3, granularity=granularity, coefficient=coefficient)
    module = Uncertainty(4, options=options).double()
    with torch.no_grad():
        module.weight.normal_()  # some rows above and some below the ReLU's corner
    features = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    factors = torch.tensor([1, 2, 0, 1, 1, 1, 0, 2, 1], dtype=torch.float64) / 5
    losses = torch.rand(9, dtype=torch.float64, requires_grad=True)  # some above tau, some below

    def fast(x: torch.Tensor, losses: torch.Tensor) -> list[torch.Tensor]:
        rows = losses * factors
        return [weigh_rows(rows, module(x)[:, 0], factors=factors, options=options).rows.sum()]

    def slow(x: torch.Tensor, losses: torch.Tensor) -> list[torch.Tensor]:
        return [twins.uncertain_loss(module, losses * factors, x, factors=factors)]

    assert_equals_twin(module, fast, slow, [features, losses])


@pytest.mark.parametrize("coefficient", ["capped", "tau"])
def test_rows_with_inner_dimensions_share_one_uncertainty(coefficient: Any) -> None:
    """Four coordinates of a box are one prediction: tau * a is added once, not four times."""
    options = UncertaintyOptions(tau=0.4, coefficient=coefficient)
    rows, scores = torch.rand(3, 4).double(), torch.tensor([1.5, 0.0, 0.3]).double()
    factors = torch.full((3,), 0.5).double()
    split = weigh_rows(rows, scores, factors=factors, options=options)
    whole = weigh_rows(rows.sum(1), scores, factors=factors, options=options)
    assert split.rows.shape == rows.shape
    assert_close(split.rows.sum(1), whole.rows)


def test_a_closed_relu_opens_where_the_loss_is_above_tau_and_stays_closed_below() -> None:
    scores = torch.full((2,), -3.0, requires_grad=True)
    rows, factors = torch.tensor([2.0, 0.1]), torch.ones(2)
    options = UncertaintyOptions(tau=0.5)
    weighed = weigh_rows(rows, scores, factors=factors, options=options)
    torch.testing.assert_close(weighed.rows, rows)
    (pull,) = torch.autograd.grad(weighed.rows.sum(), scores)
    torch.testing.assert_close(pull, torch.tensor([0.5 - 2.0, 0.0]))


@pytest.mark.parametrize("coefficient", ["capped", "tau"])
def test_alpha_is_the_damping_of_the_whole_loss(coefficient: Any) -> None:
    options = UncertaintyOptions(tau=0.5, coefficient=coefficient)
    rows, factors = torch.tensor([0.6, 0.2]), torch.full((2,), 0.5)
    plain = weigh_rows(rows, torch.tensor([-1.0, 0.0]), factors=factors, options=options)
    assert float(plain.alpha) == 0
    damped = weigh_rows(rows, torch.tensor([2.0, 0.0]), factors=factors, options=options)
    left = (0.6 * math.exp(-2) + 0.2) / 0.8
    assert math.exp(-float(damped.alpha)) == pytest.approx(left, rel=1e-6)


def test_maps_and_rows_have_the_same_uncertainty() -> None:
    module = Uncertainty(4).double()
    feature = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    rows = module(feature.permute(0, 2, 3, 1).reshape(-1, 4))
    assert_close(module(feature).permute(0, 2, 3, 1).reshape(-1, 1), rows)


@given(loss=st.floats(0.01, 10), tau=st.floats(0.01, 5))
def test_optimal_uncertainty_damps_the_gradient_from_tau_on(loss: float, tau: float) -> None:
    a = torch.linspace(0, 10, 100_001, dtype=torch.float64)
    best = a[(torch.exp(-a) * loss + tau * a).argmin()]
    assert float(torch.exp(-best)) == pytest.approx(optimal_damping(loss, tau), abs=2e-4)


def test_the_start_is_the_plain_loss() -> None:
    scores = Uncertainty(32)(torch.randn(64, 32))[:, 0]
    rows, factors = torch.rand(64), torch.ones(64)
    weighed = weigh_rows(rows, scores, factors=factors, options=UncertaintyOptions())
    assert torch.equal(weighed.rows, rows)


def test_dilated_stage_equals_the_definition() -> None:
    conv = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False).double()
    feature = torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    dilate_stage(torch.nn.Sequential(conv))
    slow = lambda x: [twins.dilated_convolution(conv.weight, x)]  # noqa: E731
    assert_equals_twin(conv, lambda x: [conv(x)], slow, [feature])


def test_dilated_resnet_keeps_the_stride_of_the_stage_before() -> None:
    network = torchvision.models.resnet18().eval()
    before = {name: p.clone() for name, p in network.layer4.state_dict().items()}
    dilate_stage(network.layer4)
    assert network.layer4(torch.zeros(1, 256, 6, 10)).shape == (1, 512, 6, 10)
    assert all(torch.equal(p, before[name]) for name, p in network.layer4.state_dict().items())


@pytest.mark.parametrize(
    "options",
    [{"tau": -1.0}, {"tau": float("nan")}, {"granularity": "image"}, {"coefficient": "half"}],
    ids=str,
)
def test_bad_uncertainty_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(FpnProbeError, match="expected"):
        UncertaintyOptions(**options)  # type: ignore[arg-type]
