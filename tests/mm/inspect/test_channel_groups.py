"""The channels that are heard are those of the equations, and nothing stays behind."""

import pytest
import torch
from mmdet.models.necks import FPN
from torch import nn

import fpnprobe.mm  # noqa: F401 - installs the operators that mmdet imports
from fpnprobe.methods import SwapMatrix
from fpnprobe.methods.twins.grouping import swap_matrix
from fpnprobe.mm.detectors.necks import GroupedFPN, LastStageNeck
from fpnprobe.mm.inspect.channel_groups import listening

CHANNELS = [8, 16, 32, 64]


def stages() -> list[torch.Tensor]:
    return [torch.randn(1, c, 32 >> i, 40 >> i) for i, c in enumerate(CHANNELS)]


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def swaps(neck: GroupedFPN, stage: int) -> list[SwapMatrix]:
    """G_k of one grouping stage, finest first."""
    every = [module for module in neck.modules() if isinstance(module, SwapMatrix)]
    return every[4 * stage : 4 * stage + 4]


def test_plain_levels_are_the_top_down_sum() -> None:
    neck, given = FPN(CHANNELS, 16, 5), stages()
    with listening(neck) as heard:
        neck(given)
    assert heard.groups == 4 and list(heard.maps) == ["P2", "P3", "P4", "P5"]
    deep = neck.lateral_convs[3](given[3])
    torch.testing.assert_close(heard.maps["P5"], deep)
    up = nn.functional.interpolate(deep, size=given[2].shape[-2:], mode="nearest")
    torch.testing.assert_close(heard.maps["P4"], neck.lateral_convs[2](given[2]) + up)
    assert hooks(neck) == 0


@pytest.mark.parametrize("regroup", [True, False])
def test_grouped_levels_are_swapped_channels(regroup: bool) -> None:
    neck = GroupedFPN(in_channels=CHANNELS, out_channels=16, num_outs=5, regroup=regroup)
    given = stages()
    with listening(neck) as heard, torch.no_grad():
        neck(given)
        for at, feature in enumerate(neck.top_down(given)):
            matrix = swap_matrix(swaps(neck, 0)[at], feature)[0]
            expected = torch.einsum("ij,jhw->ihw", matrix, feature[0])
            torch.testing.assert_close(heard.maps[f"P{at + 2}"][0], expected, rtol=1e-4, atol=1e-5)
    assert hooks(neck) == 0


def test_the_last_stage_of_a_cascade_is_heard() -> None:
    neck = GroupedFPN(in_channels=CHANNELS, out_channels=16, num_outs=4, stages=2)
    given = stages()
    with listening(neck) as heard, torch.no_grad():
        neck(given)
        first = neck.grouping.stages[0](neck.top_down(given))
    matrix = swap_matrix(swaps(neck, 1)[0], first[0])[0]
    expected = torch.einsum("ij,jhw->ihw", matrix, first[0][0])
    torch.testing.assert_close(heard.maps["P2"][0], expected, rtol=1e-4, atol=1e-5)


def test_levels_that_start_at_the_third_stage() -> None:
    neck = FPN(CHANNELS, 16, 5, start_level=1, add_extra_convs="on_input")
    with listening(neck) as heard:
        neck(stages())
    assert list(heard.maps) == ["P3", "P4", "P5"]


def test_no_pyramid_nothing_heard() -> None:
    neck = LastStageNeck(in_channels=CHANNELS, out_channels=16)
    with listening(neck) as heard:
        neck(stages())
    assert heard.maps == {}
    with listening(None) as heard:
        pass
    assert heard.maps == {}


def test_hooks_are_gone_after_an_error() -> None:
    neck = FPN(CHANNELS, 16, 5)
    with pytest.raises(RuntimeError), listening(neck):
        neck([torch.zeros(1, 3, 4, 4)] * 4)
    assert hooks(neck) == 0
