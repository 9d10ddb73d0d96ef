"""Resizes and their gradients, as torch has them."""

import pytest
import torch
import torch.nn.functional as F

from fpnprobe.methods.resizing import Upsampling, max_pool_to, upsample_to
from fpnprobe.methods.twins.grouping import resize
from tests.unit.methods.asserts import assert_close


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [(6, 8), (12, 16), (9, 11), (7, 31)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
def test_gradient_of_upsampling_is_torchs(
    mode: Upsampling, size: tuple[int, int], memory: torch.memory_format
) -> None:
    feature = torch.randn(2, 3, 3, 4, dtype=torch.float64).contiguous(memory_format=memory)
    feature.requires_grad_()
    above = torch.randn(2, 3, *size, dtype=torch.float64)
    ours, torchs = upsample_to(feature, size, mode=mode), F.interpolate(feature, size, mode=mode)
    assert_close(ours, torchs, 1e-14)
    (of_ours,) = torch.autograd.grad(ours, feature, above)
    (of_torchs,) = torch.autograd.grad(torchs, feature, above)
    assert_close(of_ours, of_torchs, 1e-13)


@pytest.mark.parametrize("size", [(3, 4), (2, 3), (6, 8)])
def test_max_pooling_to_any_size_is_adaptive(size: tuple[int, int]) -> None:
    feature = torch.randn(1, 2, 6, 8, dtype=torch.float64)
    assert_close(max_pool_to(feature, size), F.adaptive_max_pool2d(feature, size), 0)


@pytest.mark.parametrize("size", [(6, 4), (3, 8), (9, 4)])
def test_the_twin_pools_where_one_side_alone_is_longer(size: tuple[int, int]) -> None:
    """Panoramas: a level may be wider and as high, or wider and less high."""
    feature = torch.randn(1, 2, 6, 8, dtype=torch.float64)
    twin = resize(feature, size, finer="max", coarser="bilinear")
    assert_close(twin, F.adaptive_max_pool2d(feature, size), 0)
