"""The scale is what the optimizer's own step does with a gradient."""

from typing import Any

import pytest
import torch
from torch import nn

from fpnprobe.probing.passes.step_scales import step_scales


def trained(kind: Any, **options: Any) -> tuple[nn.Parameter, torch.optim.Optimizer]:
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
    parameter, optimizer = trained(kind, **options)
    for state in optimizer.state.values():
        state["step"] += 10**8  # no correction is left
    scale = step_scales(optimizer, [parameter])[parameter]
    gradient = 1e-6 * torch.randn_like(parameter)
    before = parameter.detach().clone()
    parameter.grad = gradient
    optimizer.step()
    moved = parameter.detach() - before
    assert torch.allclose(moved, -scale * gradient, rtol=1e-4)


def test_an_optimizer_without_second_moments_has_none() -> None:
    assert step_scales(trained(torch.optim.SGD, lr=0.1, momentum=0.9)[1], []) == {}
    parameter, optimizer = trained(torch.optim.SGD, lr=0.1)
    assert step_scales(optimizer, [parameter]) == {}
    parameter, optimizer = trained(torch.optim.RMSprop, lr=0.1)
    assert step_scales(optimizer, [parameter]) == {}


def test_one_parameter_without_a_step_leaves_all_out() -> None:
    parameter, optimizer = trained(torch.optim.AdamW)
    fresh = nn.Parameter(torch.ones(1))
    optimizer.add_param_group({"params": [fresh]})
    assert set(step_scales(optimizer, [parameter])) == {parameter}
    assert step_scales(optimizer, [parameter, fresh]) == {}
