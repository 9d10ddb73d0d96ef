"""The grouped pyramid in mmdet: equations end to end, extra levels, control, gradients."""

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.necks import FPN
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import twins
from fpnprobe.mm.detectors.necks import GroupedFPN, LastStageNeck
from tests.unit.methods.asserts import assert_equals_twin

CHANNELS = [4, 8, 12, 16]
SIZES = ((16, 20), (8, 10), (4, 5), (2, 3))


def stages(*, batch: int = 1) -> list[Tensor]:
    return [
        torch.randn(batch, channels, *size, dtype=torch.float64, requires_grad=True)
        for channels, size in zip(CHANNELS, SIZES, strict=True)
    ]


def neck(**options: Any) -> GroupedFPN:
    config = {"in_channels": CHANNELS, "out_channels": 16, "num_outs": 5, **options}
    made: GroupedFPN = GroupedFPN(**config).double()
    return made


def conv(module: Any, feature: Tensor) -> Tensor:
    own = module.conv
    return F.conv2d(feature, own.weight, own.bias, stride=own.stride, padding=own.padding)


def twin(module: GroupedFPN, inputs: list[Tensor]) -> list[Tensor]:
    """Eq. 4, 12-17 and 16 for the form of Faster R-CNN: four levels and a pooled one."""
    c2, c3, c4, c5 = inputs
    lateral = module.lateral_convs
    m5 = conv(lateral[3], c5)
    m4 = conv(lateral[2], c4) + F.interpolate(m5, size=c4.shape[-2:])
    m3 = conv(lateral[1], c3) + F.interpolate(m4, size=c3.shape[-2:])
    m2 = conv(lateral[0], c2) + F.interpolate(m3, size=c2.shape[-2:])
    grouped = twins.cascade(module.grouping, [m2, m3, m4, m5])
    levels = [conv(smooth, p) for smooth, p in zip(module.fpn_convs, grouped, strict=True)]
    return [*levels, levels[-1][..., ::2, ::2]]


@pytest.mark.parametrize("count", [1, 3])
def test_neck_equals_the_equations(count: int) -> None:
    module = neck(stages=count)
    assert_equals_twin(module, lambda *c: module(c), lambda *c: twin(module, list(c)), stages())


@pytest.mark.parametrize("extra", ["on_input", "on_lateral", "on_output"])
@pytest.mark.parametrize("all_stages", [True, False])
def test_levels_that_start_at_c3_keep_all_parameters_in_use(extra: str, all_stages: bool) -> None:
    module = neck(
        start_level=1,
        add_extra_convs=extra,
        stages=2,
        all_stages=all_stages,
        width=None if all_stages else 12,
    )
    with torch.no_grad():  # away from the start, whose zeros let no gradient below
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    inputs = stages()
    outs = module(inputs)
    assert [out.shape[-1] for out in outs] == [10, 5, 3, 2, 1]
    assert all(out.shape[1] == 16 for out in outs)
    sum(out.square().sum() for out in outs).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    assert (inputs[0].grad is not None) == all_stages


def test_group_without_a_level_reaches_the_extra_level_alone() -> None:
    module = neck(start_level=1, add_extra_convs="on_input")
    inputs = stages()
    features = [f.detach().requires_grad_() for f in module.top_down(inputs)]
    swaps: Any = module.grouping.stages[0].swaps
    for swap in swaps:
        rows = swap(features[0]).detach()
        rows[:, 4:] = 0  # of M_k only the quarter of group 2 is left
        swap.register_forward_hook(lambda _m, _i, _o, rows=rows: rows)
    grouped = module.grouping(features)
    assert [float(g.detach().abs().sum()) > 0 for g in grouped] == [True, False, False, False]


def test_control_is_linear_between_levels_as_fpn_and_grouping_is_not() -> None:
    """Gradient of P5 at C2: none in FPN and the control, some with grouping."""
    reached = {}
    for name, module in {
        "fpn": FPN(CHANNELS, 16, 5).double(),
        "control": neck(regroup=False),
        "grouping": neck(),
    }.items():
        inputs = stages()
        (gradient,) = torch.autograd.grad(module(inputs)[3].sum(), inputs[0], allow_unused=True)
        reached[name] = gradient is not None and bool(gradient.abs().sum() > 0)
    assert reached == {"fpn": False, "control": False, "grouping": True}


def test_group_without_a_level_needs_an_extra_convolution() -> None:
    with pytest.raises(FpnProbeError, match="has none: set add_extra_convs, or all_stages=False"):
        neck(start_level=1)


def test_last_stage_neck_ignores_the_other_stages() -> None:
    module = LastStageNeck(in_channels=CHANNELS, out_channels=8).double()
    inputs = stages()
    (level,) = module(inputs)
    assert level.shape == (1, 8, 2, 3)
    gradients = torch.autograd.grad(level.sum(), inputs, allow_unused=True)
    assert [g is not None for g in gradients] == [False, False, False, True]


@pytest.mark.parametrize("start", ["rotation", "identity"])
def test_initialization_of_mmdet_keeps_the_start_of_the_grouping(start: str) -> None:
    module = neck(stages=2, swap_start=start, later_gain=1.0)
    module.init_weights()
    for grouping in module.grouping.stages:
        for swap in cast(Any, grouping).swaps:
            matrix = swap.expand.bias.view(16, 16)
            torch.testing.assert_close(matrix @ matrix.T, torch.eye(16, dtype=torch.float64))
            assert swap.expand.weight.abs().max() == 0
    (weight,) = module.grouping.weights
    features = torch.randn(2, 16, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(weight(features), torch.ones_like(features))


def test_one_wide_stage_is_an_fpn_whose_levels_are_multiplied() -> None:
    module = neck(regroup=False, swap_start="identity")
    module.init_weights()
    plain = FPN(CHANNELS, 16, 5).double()
    plain.load_state_dict(module.state_dict(), strict=False)
    features = stages()
    for level, expected in zip(module(features), plain(features), strict=True):
        torch.testing.assert_close(level, expected)
