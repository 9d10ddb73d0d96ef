"""The scale is what the optimizer's own step does with a gradient; shares of the step follow."""

from typing import Any

import pytest
import torch
from torch import nn

from fpnprobe.ledger import GradientRecord
from fpnprobe.probing import LossPartition, Probe, Tap
from fpnprobe.probing.passes.update_scales import UpdateScales
from fpnprobe.probing.step_context import StepContext


def train(kind: Any, **options: Any) -> tuple[nn.Parameter, torch.optim.Optimizer]:
    """A parameter and its optimizer after three steps along random gradients."""
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(4, 3, dtype=torch.float64))
    optimizer = kind([parameter], **options)
    for _ in range(3):
        parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return parameter, optimizer


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_it_is_the_step_without_momentum(kind: Any, amsgrad: bool) -> None:
    """With beta1 of 0 and a v that the next gradient hardly moves, the step is -scale g."""
    options = {"lr": 0.1, "betas": (0.0, 0.999999), "weight_decay": 0.0, "amsgrad": amsgrad}
    parameter, optimizer = train(kind, **options)
    for state in optimizer.state.values():
        state["step"] += 10**8  # no correction is left
    scale = UpdateScales(optimizer).scale(parameter)
    gradient = 1e-6 * torch.randn_like(parameter)
    before = parameter.detach().clone()
    parameter.grad = gradient
    optimizer.step()
    moved = parameter.detach() - before
    assert torch.allclose(moved, -scale * gradient, rtol=1e-4)


def test_an_optimizer_without_second_moments_covers_nothing() -> None:
    for kind in (torch.optim.SGD, torch.optim.RMSprop):
        parameter, optimizer = train(kind, lr=0.1)
        assert not UpdateScales(optimizer).cover([parameter])


def test_a_parameter_without_a_step_is_not_covered() -> None:
    parameter, optimizer = train(torch.optim.AdamW)
    fresh = nn.Parameter(torch.ones(1))
    optimizer.add_param_group({"params": [fresh]})
    assert UpdateScales(optimizer).cover([parameter])
    assert not UpdateScales(optimizer).cover([parameter, fresh])
    assert not UpdateScales(optimizer).cover([nn.Parameter(torch.ones(1))])


def measure(
    optimizer: torch.optim.Optimizer, layer: nn.Linear, *, derive: bool
) -> dict[tuple[str, str], GradientRecord]:
    torch.manual_seed(1)
    output = layer(torch.randn(6, 4, dtype=torch.float64))
    rows = (output * torch.randn(6, 4, dtype=torch.float64)).sum(1)
    partition = LossPartition()
    partition.add_rows(rows, torch.tensor([0, 1, 2, 0, 1, 3]))
    taps = [Tap("C2", 2, output, parameters=tuple(layer.parameters()), routed=True)]
    step = StepContext(scales=UpdateScales(optimizer))
    sample = Probe("full", derive=derive).measure(rows.sum(), partition, taps, step)
    return {(r.kind, r.bucket): r for r in sample.records if r.route == "total"}


@pytest.mark.parametrize("derive", [False, True])
def test_a_bucket_has_its_part_of_the_step(derive: bool) -> None:
    """Written out: the gradient of each bucket's loss, times the scale, element by element."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 4).double()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.3)
    for _ in range(2):
        for parameter in layer.parameters():
            parameter.grad = torch.randn_like(parameter) * torch.rand_like(parameter).exp()
        optimizer.step()
    records = measure(optimizer, layer, derive=derive)

    torch.manual_seed(1)
    output = layer(torch.randn(6, 4, dtype=torch.float64))
    rows = (output * torch.randn(6, 4, dtype=torch.float64)).sum(1)
    squares = {}
    owned = {"small": [0, 3], "medium": [1, 4], "large": [2], "background": [5], "all": range(6)}
    for bucket, numbers in owned.items():
        loss = rows[list(numbers)].sum()
        gradients = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
        scaled = [
            g * 0.3 / ((s["exp_avg_sq"] / (1 - 0.999 ** float(s["step"]))).sqrt() + 1e-8)
            for g, s in zip(gradients, map(optimizer.state.get, layer.parameters()), strict=True)
            if s is not None
        ]
        squares[bucket] = sum(float(x.square().sum()) for x in scaled)
    objects = squares["small"] + squares["medium"] + squares["large"]
    for bucket, square in squares.items():
        record = records["update", bucket]
        assert record.l2 == pytest.approx(square**0.5, rel=1e-6)
        if bucket in ("small", "medium", "large"):
            assert record.share == pytest.approx(square / objects, rel=1e-6)
    assert records["update", "large"].share != pytest.approx(records["parameter", "large"].share)


def test_without_second_moments_nothing_is_told_of_the_step() -> None:
    layer = nn.Linear(4, 4).double()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    assert {kind for kind, _ in measure(optimizer, layer, derive=False)} == {
        "activation",
        "parameter",
    }
