"""f_w of Eq. 17: how it begins, how far a step moves it, what its forms give."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from fpnprobe.methods import CascadedGrouping, CascadeOptions, FusionWeight
from tests.unit.methods.asserts import pyramid

GATE = {"weight_activation": "sigmoid", "weight_norm": False, "weight_outputs": "one"}


def feature() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(1, 64, 1, 1, generator=generator)
    return torch.randn(2, 64, 24, 24, generator=generator) + 0.5 * means


def change_of_one_step(make: Callable[[], nn.Module], weighs: bool) -> float:
    """Change of f_w(P) P, or of a convolution of P, as one step hides half of the locations."""
    torch.manual_seed(1)
    module, x = make(), feature()
    target = x * (x[:, :8].sum(dim=1, keepdim=True) > 0)

    def result() -> Tensor:
        out: Tensor = module(x)
        return out * x if weighs else out

    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    before = result()
    (before - target).square().mean().backward()
    optimizer.step()
    with torch.no_grad():
        return float((result() - before).norm() / before.norm())


def weight(**options: Any) -> FusionWeight:
    return FusionWeight(64, options=CascadeOptions(**options))


@pytest.mark.parametrize("outputs", ["one", "channels"])
def test_a_step_moves_f_w_no_more_than_a_convolution(outputs: str) -> None:
    convolution = change_of_one_step(lambda: nn.Conv2d(64, 64, 1), weighs=False)
    ours = change_of_one_step(lambda: weight(weight_outputs=outputs), weighs=True)
    assert 0 < ours < convolution


def test_second_norm_is_what_bounds_the_step() -> None:
    ours = change_of_one_step(weight, weighs=True)
    without_norm = change_of_one_step(lambda: weight(weight_norm=False), weighs=True)
    before = change_of_one_step(lambda: weight(**GATE, weight_start="random"), weighs=True)
    assert without_norm > 5 * ours
    assert before > 10 * ours


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({}, 1.0),
        ({"weight_value": 0.25}, 0.25),
        ({"weight_norm": False, "weight_kernel": 3}, 1.0),
        ({"weight_activation": "sigmoid"}, 0.5),
        ({**GATE, "weight_value": 0.8}, 0.8),
        ({"weight_activation": "softmax"}, 0.0),  # logits
    ],
    ids=str,
)
def test_weights_begin_as_one_number(options: dict[str, Any], value: float) -> None:
    weights = weight(**options)(feature())
    torch.testing.assert_close(weights, torch.full_like(weights, value))


def test_literal_blocks_from_random_begin_with_half_of_the_map_hidden() -> None:
    hidden = (weight(weight_start="random")(feature()) == 0).float().mean()
    assert 0.4 < hidden < 0.6


@pytest.mark.parametrize(
    ("options", "share"),
    [({}, 1.0), ({"weight_activation": "softmax"}, 1 / 3), ({"weight_activation": "sigmoid"}, 0.5)],
    ids=str,
)
def test_cascade_begins_as_the_weighted_sum_of_its_stages(
    options: dict[str, Any], share: float
) -> None:
    module = CascadedGrouping(16, stages=3, cascade=CascadeOptions(**options)).double()
    maps = pyramid(sizes=((8, 8), (4, 4), (2, 2), (1, 1)))
    stages = [maps]
    for stage in module.stages:
        stages.append(stage(stages[-1]))
    for combined, *levels in zip(module(maps), *stages[1:], strict=True):
        torch.testing.assert_close(combined, share * (levels[0] + levels[1] + levels[2]))


@pytest.mark.parametrize(
    ("per_stage", "per_level", "count"),
    [(False, False, 1), (True, False, 3), (False, True, 4), (True, True, 12)],
)
def test_functions_are_shared_as_asked(per_stage: bool, per_level: bool, count: int) -> None:
    options = CascadeOptions(weight_per_stage=per_stage, weight_per_level=per_level)
    assert len(CascadedGrouping(16, stages=3, cascade=options).weights) == count
    assert len(CascadedGrouping(16, stages=1, cascade=options).weights) == 0


def test_later_stages_begin_with_their_gain() -> None:
    module = CascadedGrouping(16, stages=3, cascade=CascadeOptions(later_gain=0.5))
    spreads = [
        [_largest_singular_value(swap.expand.bias) for swap in cast(Any, stage).swaps]
        for stage in module.stages
    ]
    expected = [[gain] * 4 for gain in (1.0, 0.5, 0.5)]
    torch.testing.assert_close(torch.tensor(spreads), torch.tensor(expected), rtol=1e-4, atol=0)


def _largest_singular_value(entries: Tensor) -> float:
    return float(torch.linalg.svdvals(entries.detach().view(16, 16)).max())
