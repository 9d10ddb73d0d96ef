"""Grouping and cascade against their equations; what the options and the control do."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import (
    CascadedGrouping,
    CascadeOptions,
    FeatureGrouping,
    GroupingOptions,
    SwapMatrix,
    twins,
)
from tests.unit.methods.asserts import assert_close, assert_equals_twin, pyramid

POWERS = ((16, 24), (8, 12), (4, 6), (2, 3))
ODD = ((13, 19), (7, 10), (4, 5), (2, 3))  # as images that are no multiple of 32 give


@pytest.mark.parametrize("sizes", [POWERS, ODD], ids=["multiples", "odd"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"finer": "average"},
        {"coarser": "nearest"},
        {"finer": "average", "coarser": "nearest", "softmax": True},
        {"bottleneck": 8, "norm_groups": 2},
        {"regroup": False},
        {"swap_form": "pool-last", "swap_rate": "root"},
        {"swap_start": "xavier", "swap_rate": "full"},
    ],
    ids=str,
)
def test_grouping_equals_the_equations(sizes: Any, options: dict[str, Any]) -> None:
    module = FeatureGrouping(16, options=GroupingOptions(**options)).double()
    slow = lambda *p: twins.feature_grouping(module, p)  # noqa: E731
    assert_equals_twin(module, lambda *p: module(p), slow, pyramid(sizes=sizes))


@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"combine": "recursive"},
        {"weight_per_level": True, "weight_kernel": 3},
        {"weight_outputs": "channels", "weight_width": 32, "weight_norm_groups": 4},
        {"weight_outputs": "one", "weight_norm": False, "weight_start": "random"},
        {"weight_activation": "sigmoid", "weight_start": "random", "weight_per_stage": True},
        {"weight_activation": "softmax", "weight_start": "random", "weight_outputs": "one"},
        {"weight_activation": "softmax", "weight_per_stage": True, "weight_per_level": True},
        {"weight_activation": "constant", "weight_value": 0.5},
        {"weight_per_stage": True, "weight_per_level": True, "combine": "recursive"},
    ],
    ids=str,
)
def test_cascade_equals_the_equation(stages: int, options: dict[str, Any]) -> None:
    module = CascadedGrouping(16, stages=stages, cascade=CascadeOptions(**options)).double()
    slow = lambda *p: twins.cascade(module, p)  # noqa: E731
    assert_equals_twin(module, lambda *p: module(p), slow, pyramid(sizes=ODD, batch=1))


@pytest.mark.parametrize(
    ("kind", "size"),
    [(kind, size) for kind in ("max", "average") for size in ((3, 5), (4, 4))]
    + [(kind, size) for kind in ("bilinear", "nearest") for size in ((12, 16), (9, 14))],
)
def test_resizes_are_what_their_names_say(kind: str, size: tuple[int, int]) -> None:
    feature = torch.randn(1, 2, 6, 8, dtype=torch.float64)
    finer, coarser = (kind, "bilinear") if size[0] < 6 else ("max", kind)
    resized = twins.resize(feature, size, finer=finer, coarser=coarser)
    assert_close(resized, twins.resize_by_definition(feature, size, kind=kind), 1e-12)


def gradient_of_level(module: FeatureGrouping, level: int) -> list[Tensor | None]:
    """Gradient of one level for each input, with the swapping matrices held constant."""
    features = pyramid(sizes=POWERS)
    for swap in module.swaps:
        matrix = swap(features[0]).detach()
        swap.register_forward_hook(lambda _m, _i, _o, matrix=matrix: matrix)
    total = module(features)[level].sum()
    return list(torch.autograd.grad(total, features, allow_unused=True))


@pytest.mark.parametrize("level", range(4))
def test_every_level_is_built_from_all_stages(level: int) -> None:
    reached = gradient_of_level(FeatureGrouping(16).double(), level)
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in reached)


@pytest.mark.parametrize("level", range(4))
def test_nothing_crosses_the_levels_in_the_control(level: int) -> None:
    control = FeatureGrouping(16, options=GroupingOptions(regroup=False)).double()
    reached = gradient_of_level(control, level)
    assert [gradient is not None for gradient in reached] == [stage == level for stage in range(4)]


def test_control_has_the_parameters_of_grouping() -> None:
    grouping, control = (
        CascadedGrouping(16, stages=3, grouping=GroupingOptions(regroup=regroup))
        for regroup in (True, False)
    )
    shapes = [(name, p.shape) for name, p in grouping.named_parameters()]
    assert shapes == [(name, p.shape) for name, p in control.named_parameters()]


@pytest.mark.parametrize("start", ["rotation", "identity", "xavier"])
def test_swapping_keeps_the_spread_of_features(start: Any) -> None:
    ratios = []
    for seed in range(5):
        torch.manual_seed(seed)
        feature = torch.randn(2, 64, 8, 8)
        swapped = torch.bmm(SwapMatrix(64, start=start)(feature).detach(), feature.flatten(2))
        ratios.append(float(swapped.std() / feature.std()))
    assert 0.4 < sum(ratios) / len(ratios) < 2.0  # torch's own initialization: about 6.5


@pytest.mark.parametrize(
    ("width", "groups"), [(256, 16), (192, 16), (64, 16), (24, 6), (16, 4), (2, 1)]
)
def test_norm_groups_have_four_values_or_more(width: int, groups: int) -> None:
    assert SwapMatrix(16, bottleneck=width).norm.num_groups == groups


def test_parameters_of_one_stage_are_counted_in_the_paper_facts() -> None:
    assert sum(p.numel() for p in SwapMatrix(256).parameters()) == pytest.approx(16.9e6, rel=0.005)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: FeatureGrouping(18), "cannot be split into 4 groups"),
        (lambda: GroupingOptions(finer="min"), "expected 'max' or 'average'"),  # type: ignore[arg-type]
        (lambda: GroupingOptions(coarser="cubic"), "expected 'bilinear' or 'nearest'"),  # type: ignore[arg-type]
        (lambda: GroupingOptions(swap_form="pool"), "expected 'pool-first', 'pool-last'"),  # type: ignore[arg-type]
        (lambda: GroupingOptions(swap_start="zero"), "expected 'rotation', 'identity', 'xavier'"),  # type: ignore[arg-type]
        (lambda: GroupingOptions(swap_rate="half"), "expected 'third', 'convolution', 'root'"),  # type: ignore[arg-type]
        (lambda: CascadeOptions(combine="mean"), "expected 'sum', 'recursive'"),  # type: ignore[arg-type]
        (lambda: CascadeOptions(weight_kernel=2), "expected 1 or 3"),  # type: ignore[arg-type]
        (lambda: CascadeOptions(weight_outputs="two"), "expected 'one', 'channels'"),  # type: ignore[arg-type]
        (lambda: CascadeOptions(weight_activation="tanh"), "expected 'relu', 'sigmoid'"),  # type: ignore[arg-type]
        (lambda: CascadeOptions(weight_start="zero"), "expected 'constant', 'random'"),  # type: ignore[arg-type]
        (lambda: CascadeOptions(weight_value=0), "no gradient"),
        (lambda: CascadeOptions(weight_activation="sigmoid", weight_value=1), "between 0 and 1"),
        (lambda: CascadeOptions(weight_activation="softmax", weight_value=1), "expected None"),
        (lambda: CascadedGrouping(16, stages=0), "at least one"),
        (lambda: SwapMatrix(16, bottleneck=1), "two or more"),
        (lambda: FeatureGrouping(16)([torch.zeros(1, 16, 2, 2)]), "1 maps for 4 groups"),
    ],
)
def test_bad_options_say_what_is_expected(make: Any, part: str) -> None:
    with pytest.raises(FpnProbeError, match=part):
        make()
