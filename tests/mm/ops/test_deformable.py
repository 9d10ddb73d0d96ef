"""Deformable and content-aware operators of mmcv, served without its compiled extension."""

import pytest
import torch
from mmcv.ops import CARAFENaive, DeformRoIPool, deform_conv2d, modulated_deform_conv2d
from mmcv.ops.carafe import carafe
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from fpnprobe.mm.ops.bridge import backend

pytestmark = pytest.mark.skipif(
    backend().name == "compiled", reason="a compiled mmcv serves these operators itself"
)


def gradients(loss: Tensor, *leaves: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, leaves))


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def leaf(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).requires_grad_()


@pytest.mark.parametrize("modulated", [False, True])
def test_without_an_offset_it_is_a_convolution(modulated: bool) -> None:
    x, weight = leaf(2, 4, 9, 9), leaf(6, 4, 3, 3, seed=1)
    offset = torch.zeros(2, 18, 5, 5, requires_grad=True)
    plain = F.conv2d(x, weight, stride=2, padding=1)
    if modulated:
        bias, mask = leaf(6, seed=2), torch.full((2, 9, 5, 5), 0.5).requires_grad_()
        found = modulated_deform_conv2d(x, offset, mask, weight, bias, 2, 1, 1, 1, 1)
        expected = plain * 0.5 + bias[:, None, None]
        leaves = [x, weight, bias]
    else:
        found = deform_conv2d(x, offset, weight, 2, 1, 1, 1, 1)
        expected, leaves = plain, [x, weight]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(found)
    assert_close(
        gradients((found * weights).sum(), *leaves), gradients((expected * weights).sum(), *leaves)
    )


def test_an_offset_of_one_pixel_shifts_the_map() -> None:
    x, weight = leaf(1, 2, 8, 8), leaf(3, 2, 3, 3, seed=1)
    offset = torch.zeros(1, 18, 8, 8)
    offset[:, 1::2] = 1.0  # y, x: every place one pixel to the right
    found = deform_conv2d(x, offset, weight, 1, 1, 1, 1, 1)
    shifted = F.conv2d(F.pad(x, (0, 1))[..., 1:], weight, padding=1)
    torch.testing.assert_close(found[..., 1:-1], shifted[..., 1:-1], rtol=1e-4, atol=1e-5)


def slow_carafe(features: Tensor, masks: Tensor, kernel: int, groups: int, scale: int) -> Tensor:
    """Place by place, from the equation."""
    batch, channels, height, width = features.shape
    out = torch.zeros(batch, channels, height * scale, width * scale)
    for b in range(batch):
        for c in range(channels):
            group = c // (channels // groups)
            for y in range(height * scale):
                for x in range(width * scale):
                    for i in range(kernel):
                        for j in range(kernel):
                            row = y // scale + i - kernel // 2
                            column = x // scale + j - kernel // 2
                            if 0 <= row < height and 0 <= column < width:
                                place = (group * kernel + i) * kernel + j
                                out[b, c, y, x] += (
                                    features[b, c, row, column] * masks[b, place, y, x]
                                )
    return out


def test_carafe_is_its_equation() -> None:
    features, masks = leaf(1, 4, 3, 4), leaf(1, 18, 6, 8, seed=1)
    found = carafe(features, masks, 3, 2, 2)
    expected = slow_carafe(features.detach(), masks.detach(), 3, 2, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    naive = CARAFENaive(3, 2, 2)(features, masks)
    torch.testing.assert_close(naive, expected, rtol=1e-4, atol=1e-5)
    (slope,) = gradients(found.sum(), masks)
    assert float(slope.abs().sum()) > 0


@pytest.mark.parametrize("ratio", [0, 2])
def test_pooling_without_an_offset_is_roi_align(ratio: int) -> None:
    x = leaf(2, 3, 12, 12)
    rois = torch.tensor([[0, 4.0, 4, 30, 26], [1, 10.0, 2, 40, 44], [1, 0.0, 0, 12, 9]])
    pool = DeformRoIPool((3, 4), 0.25, ratio, 0.1)
    found = pool(x, rois, torch.zeros(3, 2, 3, 4))
    expected = roi_align(x, rois, (3, 4), 0.25, ratio, True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert_close(gradients(found.square().sum(), x), gradients(expected.square().sum(), x))


def test_attention_is_that_of_plain_torch() -> None:
    shapes = torch.tensor([[4, 5], [2, 3]])
    value, places, weights = leaf(1, 26, 2, 4), leaf(1, 3, 2, 2, 4, 2, seed=1), leaf(1, 3, 2, 2, 4)
    start = torch.tensor([0, 20])
    found = MultiScaleDeformableAttnFunction.apply(value, shapes, start, places, weights, 64)
    expected = multi_scale_deformable_attn_pytorch(value, shapes, places, weights)
    torch.testing.assert_close(found, expected)
    leaves = [value, places, weights]
    assert_close(
        gradients(found.square().sum(), *leaves), gradients(expected.square().sum(), *leaves)
    )


def test_a_larger_map_of_offsets_is_read_in_the_order_of_its_memory() -> None:
    """As mmcv's kernel does: an image's first numbers are a map of the output's size."""
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3)
    offset, mask = torch.randn(2, 18, 9, 10), torch.rand(2, 9, 9, 10)
    found = modulated_deform_conv2d(x, offset, mask, weight, None, 1, 1, 1, 1, 1)
    read = [
        torch.stack([one.flatten()[: channels * 25].view(channels, 5, 5) for one in whole])
        for whole, channels in ((offset, 18), (mask, 9))
    ]
    expected = modulated_deform_conv2d(x, *read, weight, None, 1, 1, 1, 1, 1)
    assert torch.equal(found, expected)


def test_gradients_of_a_larger_map_reach_the_numbers_that_were_read() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 2, 4, 4), torch.randn(2, 2, 3, 3)
    offset = torch.randn(1, 18, 8, 8, requires_grad=True)
    deform_conv2d(x, offset, weight, 1, 1, 1, 1, 1).sum().backward()
    assert offset.grad is not None
    flat = offset.grad.flatten()
    assert bool(flat[: 18 * 16].any()) and not bool(flat[18 * 16 :].any())
