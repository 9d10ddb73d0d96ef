"""The torchvision operators against mmcv's compiled ones (golden arrays) and against equations."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import mmcv.ops as mmcv_ops
import numpy as np
import pytest
import torch
from torch import Tensor

from fpnprobe.errors import EnvironmentProblem
from fpnprobe.mm.ops import Backend, backend, bridge, focal_loss, install, nms, roi_align

GOLDEN = Path(__file__).parents[1] / "golden" / "mmcv_ops.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def assert_kept(result: tuple[Tensor, Tensor], golden: dict[str, Tensor], name: str) -> None:
    dets, keep = result
    assert torch.equal(keep, golden[f"{name}_keep"])
    torch.testing.assert_close(dets, golden[f"{name}_dets"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_nms(golden: dict[str, Tensor], threshold: float, offset: int) -> None:
    result = mmcv_ops.nms(golden["boxes"], golden["scores"], threshold, offset=offset)
    assert_kept(result, golden, f"nms_t{threshold}_o{offset}")


def test_nms_filtered(golden: dict[str, Tensor]) -> None:
    boxes, scores = golden["boxes"], golden["scores"]
    result = mmcv_ops.nms(boxes, scores, 0.5, score_threshold=0.3, max_num=50)
    assert_kept(result, golden, "nms_filtered")


@pytest.mark.parametrize("split", [100, 10_000])
def test_batched_nms(golden: dict[str, Tensor], split: int) -> None:
    settings = {"type": "nms", "iou_threshold": 0.5, "split_thr": split}
    boxes, scores, labels = golden["boxes"], golden["scores"], golden["labels"]
    result = mmcv_ops.batched_nms(boxes, scores, labels, settings)
    assert_kept(result, golden, f"bnms_s{split}")


def test_batched_nms_variants(golden: dict[str, Tensor]) -> None:
    boxes, scores, labels = golden["boxes"], golden["scores"], golden["labels"]
    hard = {"type": "nms", "iou_threshold": 0.5}
    soft = {"type": "soft_nms", "iou_threshold": 0.5, "min_score": 0.05}
    agnostic = mmcv_ops.batched_nms(boxes, scores, labels, hard, class_agnostic=True)
    assert_kept(agnostic, golden, "bnms_agn")
    assert_kept(mmcv_ops.batched_nms(boxes, scores, labels, soft), golden, "bsoft")


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_soft_nms(golden: dict[str, Tensor], method: str, offset: int) -> None:
    result = mmcv_ops.soft_nms(
        golden["boxes"],
        golden["scores"],
        iou_threshold=0.3,
        sigma=0.5,
        min_score=0.05,
        method=method,
        offset=offset,
    )
    assert_kept(result, golden, f"soft_{method}_o{offset}")


def test_soft_nms_with_ties(golden: dict[str, Tensor]) -> None:
    result = mmcv_ops.soft_nms(
        golden["boxes"], golden["tied_scores"], iou_threshold=0.3, min_score=0.05
    )
    assert_kept(result, golden, "soft_tied")


def test_nms_match(golden: dict[str, Tensor]) -> None:
    dets = torch.cat([golden["boxes"], golden["scores"][:, None]], dim=1)
    groups = mmcv_ops.nms_match(dets, 0.5)
    assert [len(group) for group in groups] == golden["nms_match_len"].tolist()
    assert np.concatenate(groups).tolist() == golden["nms_match_flat"].tolist()


def test_nms_keeps_the_order_of_ties() -> None:
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10]])
    assert nms.nms(boxes, torch.full((3,), 0.5), 0.5, 0).tolist() == [0, 1, 2]


def test_nms_of_nothing() -> None:
    empty = torch.zeros(0, 4)
    assert nms.nms(empty, torch.zeros(0), 0.5, 0).shape == (0,)
    assert nms.softnms(empty, torch.zeros(0), torch.zeros(0, 5), 0.5, 0.5, 0.1, 1, 0).shape == (0,)


@pytest.mark.parametrize(
    ("name", "size", "scale", "sampling", "aligned", "cotangent"),
    [
        ("ra7_a1_s0", (7, 7), 0.25, 0, True, "gout7"),
        ("ra7_a1_s2", (7, 7), 0.25, 2, True, "gout7"),
        ("ra7_a0_s0", (7, 7), 0.25, 0, False, "gout7"),
        ("ra7_a0_s2", (7, 7), 0.25, 2, False, "gout7"),
        ("ra_rect", (3, 5), 0.125, 2, True, "gout_rect"),
    ],
)
def test_roi_align(
    golden: dict[str, Tensor],
    name: str,
    size: tuple[int, int],
    scale: float,
    sampling: int,
    aligned: bool,
    cotangent: str,
) -> None:
    features = golden["feat"].clone().requires_grad_()
    layer = mmcv_ops.RoIAlign(size, scale, sampling, "avg", aligned)
    pooled = layer(features, golden["rois"])
    pooled.backward(golden[cotangent])
    torch.testing.assert_close(pooled.detach(), golden[f"{name}_y"], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(features.grad, golden[f"{name}_gx"], rtol=1e-6, atol=1e-6)


def test_roi_align_of_nothing(golden: dict[str, Tensor]) -> None:
    features = golden["feat"].clone().requires_grad_()
    pooled = mmcv_ops.RoIAlign(7, 0.25, 0, "avg", True)(features, torch.zeros(0, 5))
    pooled.sum().backward()
    assert pooled.shape == (0, 1, 7, 7)
    torch.testing.assert_close(features.grad, golden["ra_empty_gx"], rtol=0, atol=0)


def test_roi_align_gradient() -> None:
    rois = torch.tensor([[0, 1.0, 2.0, 6.5, 7.5], [1, 0.0, 0.0, 9.0, 4.0]], dtype=torch.float64)
    layer = mmcv_ops.RoIAlign(3, 0.5, 2, "avg", True)
    features = torch.rand(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, rois), (features,))


def test_rows_without_gradient_cost_roi_align_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = torch.rand(40, 4).cumsum(1) * 20
    rois = torch.cat([torch.randint(0, 2, (40, 1)).float(), corners], 1)
    cotangent = torch.randn(40, 3, 7, 7)
    cotangent[torch.rand(40) < 0.7] = 0.0
    reached = int(cotangent.flatten(1).any(1).sum())
    nothing = torch.zeros(0)

    def backward(rows: Tensor) -> Tensor:
        gradient = torch.empty(2, 3, 16, 16)
        roi_align.roi_align_backward(
            rows, rois, nothing, nothing, gradient, 7, 7, 0.25, 0, 1, aligned=True
        )
        return gradient

    plain = torch.ops.torchvision._roi_align_backward
    expected = plain(cotangent, rois, 0.25, 7, 7, 2, 3, 16, 16, 0, True)
    rows_done: list[int] = []

    def counted(rows: Tensor, *rest: object) -> Tensor:
        rows_done.append(len(rows))
        return plain(rows, *rest)  # type: ignore[no-any-return]

    monkeypatch.setattr(torch.ops.torchvision, "_roi_align_backward", counted)
    result = backward(cotangent)
    assert torch.equal(result.view(torch.int32), expected.view(torch.int32))
    assert rows_done == [reached] and reached < 40
    assert torch.equal(backward(torch.zeros_like(cotangent)), torch.zeros(2, 3, 16, 16))
    assert backward(torch.full_like(cotangent, torch.nan)).isnan().any()


def test_roi_align_keeps_boxes_in_float32() -> None:
    features = torch.rand(1, 2, 20, 20, dtype=torch.bfloat16)
    rois = torch.tensor([[0, 300.3, 280.7, 333.1, 310.9]])  # bfloat16 rounds these to 2 px
    output = torch.zeros(1, 2, 3, 3, dtype=torch.bfloat16)
    nothing = torch.zeros(0)
    roi_align.roi_align_forward(
        features, rois, output, nothing, nothing, 3, 3, 1 / 16, 2, 1, aligned=True
    )
    exact = mmcv_ops.RoIAlign(3, 1 / 16, 2, "avg", True)(features.float(), rois)
    torch.testing.assert_close(output, exact.bfloat16(), rtol=0, atol=0)


def test_max_pooling_is_refused() -> None:
    with pytest.raises(EnvironmentProblem, match="pool_mode='max'"):
        mmcv_ops.RoIAlign(7, 1.0, 0, "max", True)(torch.zeros(1, 1, 8, 8), torch.zeros(1, 5))


def focal_twin(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Lin et al. 2017, Eq. 5, entry by entry."""
    values = torch.zeros_like(logits)
    for row in range(logits.shape[0]):
        for column in range(logits.shape[1]):
            p = torch.sigmoid(logits[row, column])
            if target[row] == column:
                values[row, column] = -alpha * (1 - p) ** gamma * torch.log(p)
            else:
                values[row, column] = -(1 - alpha) * p**gamma * torch.log(1 - p)
    return values


class FocalLoss(torch.autograd.Function):
    """The stand-in's loss with the stand-in's gradient, as mmcv wraps them."""

    @staticmethod
    def forward(ctx: object, logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
        ctx.saved = (logits, target, gamma, alpha)  # type: ignore[attr-defined]
        output = torch.zeros_like(logits)
        focal_loss.sigmoid_focal_loss_forward(
            logits, target, logits.new_zeros(0), output, gamma, alpha
        )
        return output

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> tuple[Tensor, None, None, None]:
        logits, target, gamma, alpha = ctx.saved  # type: ignore[attr-defined]
        slope = torch.zeros_like(logits)
        focal_loss.sigmoid_focal_loss_backward(
            logits, target, logits.new_zeros(0), slope, gamma, alpha
        )
        return slope * grad, None, None, None


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (1.5, 0.5), (0.5, 0.9)])
def test_focal_loss(gamma: float, alpha: float) -> None:
    logits = (3 * torch.randn(12, 4, dtype=torch.float64)).requires_grad_()
    target = torch.randint(0, 5, (12,))  # 4 is background
    loss = FocalLoss.apply(logits, target, gamma, alpha)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    twin = focal_twin(logits, target, gamma, alpha)
    (expected,) = torch.autograd.grad(twin.sum(), logits)
    torch.testing.assert_close(loss, twin, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-13)
    assert torch.autograd.gradcheck(lambda x: FocalLoss.apply(x, target, gamma, alpha), (logits,))


def test_focal_loss_of_extreme_logits() -> None:
    logits = torch.tensor([[60.0], [-60.0]])
    output = torch.zeros(2, 1)
    focal_loss.sigmoid_focal_loss_forward(
        logits, torch.tensor([1, 0]), torch.zeros(0), output, 2.0, 0.25
    )
    torch.testing.assert_close(output, torch.tensor([[0.75 * 60], [0.25 * 60]]))


def test_focal_loss_weights_classes_but_not_background() -> None:
    logits, target = torch.randn(3, 2), torch.tensor([0, 1, 2])
    plain, weighted = torch.zeros(3, 2), torch.zeros(3, 2)
    focal_loss.sigmoid_focal_loss_forward(logits, target, torch.zeros(0), plain, 2.0, 0.25)
    focal_loss.sigmoid_focal_loss_forward(
        logits, target, torch.tensor([3.0, 5.0]), weighted, 2.0, 0.25
    )
    factors = torch.tensor([[3.0], [5.0], [1.0]])
    torch.testing.assert_close(weighted, plain * factors)


def test_missing_operator_is_named() -> None:
    extension = bridge.TorchvisionExtension("not compiled")
    with pytest.raises(EnvironmentProblem, match="'border_align_forward' is not served"):
        extension.border_align_forward(torch.zeros(1))


def test_install_is_idempotent() -> None:
    before = sys.modules["mmcv._ext"]
    assert install() == backend()
    assert sys.modules["mmcv._ext"] is before


def compiled(nms_result: Exception | None) -> ModuleType:
    module = ModuleType("mmcv._ext")

    def operator(*args: object, **kwargs: object) -> None:
        if nms_result is not None:
            raise nms_result

    vars(module)["nms"] = operator
    return module


def test_a_compiled_extension_that_loads_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mmcv._ext")
    monkeypatch.setattr(importlib, "import_module", lambda _: compiled(None))
    assert install() == Backend("compiled")


def test_a_compiled_extension_for_another_torch_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> ModuleType:
        raise ImportError("undefined symbol: _ZN2at4cudaE")

    monkeypatch.setitem(sys.modules, "mmcv._ext", sys.modules["mmcv._ext"])
    monkeypatch.delitem(sys.modules, "mmcv._ext")
    monkeypatch.setattr(importlib, "import_module", fail)
    found = install()
    assert found.name == "torchvision"
    assert "undefined symbol" in found.reason


def test_a_compiled_extension_without_cuda_kernels_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.tensor
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "tensor", lambda data, **_: real(data))
    assert bridge._find_lack(compiled(None)) == ""
    reason = bridge._find_lack(compiled(RuntimeError("nms is not compiled with GPU support")))
    assert reason == (
        "compiled without working CUDA kernels (nms is not compiled with GPU support)"
    )
