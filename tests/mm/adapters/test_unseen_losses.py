"""A loss that is computed beside torch's dispatcher, as a compiled extension does, has its rows."""

from typing import Any

import pytest
import torch
from mmdet.models.losses import FocalLoss
from torch import Tensor

from fpnprobe.mm.adapters import observe
from fpnprobe.mm.ops import focal_loss
from fpnprobe.probing import Probe
from fpnprobe.probing.provenance.operation import unobserved
from fpnprobe.testing import assert_no_hooks_left, assert_same_records
from tests.mm.adapters.frameworks import BUCKETS, loss_of
from tests.mm.adapters.test_brute_force import pytestmark as pytestmark
from tests.mm.adapters.test_drawn_batches import EDGES, batch, built


class Compiled(torch.autograd.Function):
    """The focal loss of one element each, from memory to memory."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(logits, target)
        output = torch.empty_like(logits)
        with unobserved():
            focal_loss.sigmoid_focal_loss_forward(
                logits, target, logits.new_zeros(0), output, 2.0, 0.25
            )
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        logits, target = ctx.saved_tensors
        slope = torch.empty_like(logits)
        with unobserved():
            focal_loss.sigmoid_focal_loss_backward(
                logits, target, logits.new_zeros(0), slope, 2.0, 0.25
            )
        return slope * gradient, None


def compute(
    self: Any, pred: Tensor, target: Tensor, weight: Any = None, avg_factor: Any = None, **_: Any
) -> Tensor:
    """All of `FocalLoss` in the extension, its weights and sum too."""
    assert isinstance(self.loss_weight, float)
    loss: Tensor = Summed.apply(pred, target.long(), weight, avg_factor)
    return loss


class Summed(torch.autograd.Function):
    """The same with weights, sum and normalizer inside."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, weight: Any, divisor: Any) -> Tensor:
        with unobserved(), torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            loss = Compiled.apply(leaf, target)
            loss = loss if weight is None else loss * weight.reshape(-1, 1)
            total: Tensor = loss.sum() / divisor
            (ctx.slope,) = torch.autograd.grad(total, leaf)
            return total.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.slope * gradient, None, None, None


def measure(labels: Any) -> Any:
    detector = built("retinanet")
    data = detector.data_preprocessor(batch(EDGES["unlike sizes"]), training=True)
    with observe(detector, BUCKETS, labels=labels) as seen:
        loss = loss_of(detector, data)
    sample = Probe("full").measure(loss, seen.partition, seen.taps())
    assert_no_hooks_left(detector)
    return sample


def test_rows_of_an_unseen_loss_are_those_of_the_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FocalLoss, "forward", compute)
    adapter, provenance = measure("adapters"), measure("provenance")
    assert_same_records(adapter, provenance, tolerance=1e-6)
    assert max(provenance.residuals.gradient, provenance.residuals.routes) < 1e-5


@pytest.mark.parametrize("reduction", ["rows", "sum"])
def test_the_plain_loss_is_the_same(reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = measure("provenance")
    if reduction == "rows":  # one loss for each element, which mmdet weights and sums
        monkeypatch.setattr("mmdet.models.losses.focal_loss.py_sigmoid_focal_loss", unseen_elements)
    else:
        monkeypatch.setattr(FocalLoss, "forward", compute)
    assert_same_records(plain, measure("provenance"), tolerance=1e-5)


def unseen_elements(
    pred: Tensor, target: Tensor, weight: Any = None, avg_factor: Any = None, **_: Any
) -> Tensor:
    loss: Tensor = Compiled.apply(
        pred, torch.where(target.any(1), target.argmax(1), target.shape[1])
    )
    loss = loss if weight is None else loss * weight.reshape(-1, 1)
    total: Tensor = loss.sum() / avg_factor
    return total
