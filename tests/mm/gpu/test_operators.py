"""The operators that stand in for mmcv's compiled ones give on a GPU what they give on a CPU."""

from collections.abc import Callable

import mmcv.ops as mmcv_ops
import pytest
import torch
from mmcv.ops.carafe import carafe
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss, sigmoid_focal_loss
from torch import Tensor

from tests.mm.gpu.device import DEVICE, NEEDS_DEVICE

pytestmark = NEEDS_DEVICE


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def boxes(count: int) -> Tensor:
    corners = 60 * torch.rand(count, 2, generator=torch.Generator().manual_seed(1))
    sides = 2 + 30 * torch.rand(count, 2, generator=torch.Generator().manual_seed(2))
    return torch.cat([corners, corners + sides], 1)


def rois() -> Tensor:
    return torch.cat([torch.arange(12)[:, None] % 2, boxes(12)], 1)


def attention(value: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    shapes = torch.tensor([[6, 6], [3, 3]], device=value.device)
    starts = torch.tensor([0, 36], device=value.device)
    found: Tensor = MultiScaleDeformableAttnFunction.apply(
        value, shapes, starts, places.sigmoid(), weights.softmax(-1), 2
    )
    return found


# the operator, and what its gradient is taken to; the rest is constant
OPERATORS: dict[str, tuple[Callable[..., Tensor], list[Tensor], list[Tensor]]] = {
    "roi_align": (
        lambda x, r: mmcv_ops.roi_align(x, r, 7, 0.25, 0, "avg", True),
        [draw(2, 3, 24, 24)], [rois()],
    ),
    "deform_conv": (
        lambda x, o, w: mmcv_ops.deform_conv2d(x, o, w, 1, 1, 1, 1, 1),
        [draw(2, 4, 9, 9), draw(2, 18, 9, 9, seed=1), draw(6, 4, 3, 3, seed=2)], [],
    ),
    "modulated_deform_conv": (
        lambda x, o, m, w: mmcv_ops.modulated_deform_conv2d(
            x, o, m.sigmoid(), w, w.new_zeros(6), 1, 1, 1, 1, 1
        ),
        [draw(2, 4, 9, 9), draw(2, 18, 9, 9, seed=1), draw(2, 9, 9, 9, seed=3),
         draw(6, 4, 3, 3, seed=2)], [],
    ),
    "carafe": (
        lambda x, m: carafe(x, m.softmax(1), 5, 1, 2),
        [draw(1, 4, 6, 6), draw(1, 25, 12, 12, seed=1)], [],
    ),
    "deformable attention": (
        attention,
        [draw(2, 45, 2, 8), draw(2, 7, 2, 2, 4, 2, seed=1), draw(2, 7, 2, 2, 4, seed=2)], [],
    ),
}  # fmt: skip


def outcome(name: str, device: str) -> list[Tensor]:
    operator, leaves, constants = OPERATORS[name]
    moved = [leaf.to(device).requires_grad_() for leaf in leaves]
    result = operator(*moved, *(one.to(device) for one in constants))
    weights = draw(*result.shape, seed=5).to(device)
    gradients = torch.autograd.grad((result * weights).sum(), moved)
    return [one.detach().cpu() for one in (result, *gradients)]


@pytest.mark.parametrize("name", OPERATORS)
def test_values_and_gradients_are_those_of_a_cpu(name: str) -> None:
    torch.backends.cudnn.allow_tf32 = False
    try:
        for one, two in zip(outcome(name, DEVICE), outcome(name, "cpu"), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
    finally:
        torch.backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize("kind", ["nms", "soft_nms"])
def test_boxes_that_stay_are_those_of_a_cpu(kind: str) -> None:
    kept, scores = boxes(200), torch.rand(200, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(200) % 3
    settings = {"type": kind, "iou_threshold": 0.5}
    if kind == "soft_nms":
        settings["min_score"] = 0.05
    found = [
        mmcv_ops.batched_nms(kept.to(d), scores.to(d), labels.to(d), settings)
        for d in (DEVICE, "cpu")
    ]
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one.cpu(), two, rtol=0, atol=1e-5)


@pytest.mark.skipif(DEVICE == "cpu", reason="mmcv serves the operator on CUDA alone")
@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (1.5, 0.5)])
def test_focal_loss_is_that_of_mmdets_own_python(gamma: float, alpha: float) -> None:
    logits, target = (
        (3 * draw(40, 5)).to(DEVICE).requires_grad_(),
        (torch.arange(40) % 6).to(DEVICE),
    )
    hot = torch.nn.functional.one_hot(target, 6)[:, :5]
    ours = sigmoid_focal_loss(logits, target, gamma=gamma, alpha=alpha)
    theirs = py_sigmoid_focal_loss(logits, hot, gamma=gamma, alpha=alpha)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    slopes = (torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs))
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-7)
