import pytest
import torch
from torch import Tensor

from fpnprobe.attribution.captum_methods import METHODS
from fpnprobe.attribution.chain import Chain
from fpnprobe.attribution.methods import attribute
from fpnprobe.attribution.words import Place
from fpnprobe.errors import FpnProbeError

from . import toy

PLACES: tuple[Place, ...] = ("stages", "pyramid")


def gradients(chain: Chain, image: Tensor, at: Place, target: int) -> tuple[list[Tensor], ...]:
    """df/dx at independent levels by autograd alone: no captum, no tap."""
    with torch.no_grad():
        stages = chain.backbone(image)
        assert chain.neck is not None
        found = stages if at == "stages" else chain.neck(stages)
    leaves = [level.clone().requires_grad_() for level in found]
    pyramid = chain.neck(tuple(leaves)) if at == "stages" else tuple(leaves)
    value = chain.readout(pyramid, torch.tensor([target]))
    grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    return leaves, [
        torch.zeros_like(x) if g is None else g for x, g in zip(leaves, grads, strict=True)
    ]


@pytest.mark.parametrize("at", PLACES)
def test_activation_x_gradient_equals_autograd(at: Place) -> None:
    chain, image = toy.chain(), toy.image()
    maps = attribute(chain, image=image, ids=torch.arange(3), method="activation_x_gradient", at=at)
    for target in range(3):
        leaves, grads = gradients(chain, image, at, target)
        for tensor, x, g in zip(maps.tensors, leaves, grads, strict=True):
            torch.testing.assert_close(tensor[target], (x * g)[0].detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("at", PLACES)
def test_grad_cam_equals_autograd(at: Place) -> None:
    chain, image = toy.chain(), toy.image()
    maps = attribute(chain, image=image, ids=torch.arange(3), method="grad_cam", at=at)
    for target in range(3):
        leaves, grads = gradients(chain, image, at, target)
        for tensor, x, g in zip(maps.tensors, leaves, grads, strict=True):
            expected = (g.mean((2, 3), keepdim=True) * x).sum(1)
            torch.testing.assert_close(tensor[target], expected.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("at", PLACES)
def test_integrated_gradients_equal_a_plain_sum_over_the_path(at: Place) -> None:
    chain, image = toy.chain(), toy.image()
    maps = attribute(
        chain, image=image, ids=torch.tensor([1]), at=at, steps=200, internal_batch_size=200
    )
    leaves, _ = gradients(chain, image, at, 1)
    total = [torch.zeros_like(x) for x in leaves]
    steps = 200
    for k in range(steps):
        scaled = [((k + 0.5) / steps * x).detach().requires_grad_() for x in leaves]
        rest = chain.from_stages if at == "stages" else chain.from_pyramid
        value = rest(tuple(scaled), torch.tensor([1]))
        for t, g in zip(total, torch.autograd.grad(value.sum(), scaled), strict=True):
            t += g / steps
    for tensor, x, g in zip(maps.tensors, leaves, total, strict=True):
        torch.testing.assert_close(tensor, (x * g).detach(), rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("method", ["integrated_gradients", "conductance"])
def test_path_methods_are_complete(method: str, at: Place) -> None:
    chain, image = toy.chain(), toy.image()
    maps = attribute(
        chain,
        image=image,
        ids=torch.arange(3),
        method=method,
        at=at,
        steps=512,
        internal_batch_size=256,
    )
    change = maps.value - maps.reference
    assert change.abs().min() > 1e-3
    assert ((maps.net().sum(1) - change).abs() < 1e-2 * maps.mass().sum(1)).all()
    if method == "integrated_gradients":
        assert maps.residual().max() < 1e-2


def test_a_stage_gets_only_what_the_neck_reads_from_it() -> None:
    """C2 also makes C3 and C4; none of that may be counted at C2."""
    chain, image = toy.chain(), toy.image()
    assert chain.neck is not None
    for conv in chain.neck.lateral[:1]:  # type: ignore[index]
        torch.nn.init.zeros_(conv.weight)
    maps = attribute(chain, image=image, ids=torch.tensor([0]), method="conductance", at="stages")
    assert maps.shares()[0, 0] == 0
    assert maps.shares()[0, 1:].sum() == pytest.approx(1)


@pytest.mark.parametrize("method", METHODS)
def test_the_batch_size_changes_memory_and_nothing_else(method: str) -> None:
    chain, image = toy.chain(), toy.image()
    few, many = (
        attribute(
            chain, image=image, ids=torch.arange(5), method=method, steps=8, internal_batch_size=n
        )
        for n in (2, 64)
    )
    for a, b in zip(few.tensors, many.tensors, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_no_more_than_the_internal_batch_is_in_memory_at_once() -> None:
    chain, image = toy.chain(), toy.image()
    seen: list[int] = []
    chain.pyramid.register_forward_hook(lambda *call: seen.append(len(call[-1][0])))
    for method in METHODS:
        attribute(
            chain, image=image, ids=torch.arange(5), method=method, steps=6, internal_batch_size=4
        )
    assert max(seen) <= 4


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_behind(method: str) -> None:
    chain, image = toy.chain(), toy.image()
    chain.train()
    next(chain.parameters()).requires_grad_(False)
    wanted = [p.requires_grad for p in chain.parameters()]
    attribute(chain, image=image, ids=torch.arange(2), method=method, steps=4)
    with pytest.raises(RuntimeError):
        attribute(chain, image=image.float(), ids=torch.arange(2), method=method, steps=4)
    assert [p.requires_grad for p in chain.parameters()] == wanted
    assert all(m.training for m in chain.modules())
    assert all(p.grad is None for p in chain.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in chain.modules())


def test_a_level_that_is_not_read_has_no_share() -> None:
    chain, image = toy.chain(), toy.image()
    maps = attribute(chain, image=image, ids=torch.tensor([0, 2]), at="pyramid")
    assert maps.shares().tolist() == [[1, 0, 0], [0, 0, 1]]


def test_a_detector_without_a_neck_has_stages_only() -> None:
    chain, image = toy.chain(neck=False), toy.image()
    assert chain.places() == ("stages",)
    assert attribute(chain, image=image, ids=torch.tensor([1]), at="stages").shares()[0, 1] == 1
    with pytest.raises(FpnProbeError, match="has no pyramid"):
        attribute(chain, image=image, ids=torch.tensor([1]), at="pyramid")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "lime"}, "unknown method 'lime': expected one of activation_x_gradient"),
        ({"steps": 1}, "expected at least 2"),
        ({"internal_batch_size": 1}, "expected at least 2"),
        ({"ids": torch.tensor([], dtype=torch.int64)}, "no target"),
        ({"image": torch.zeros(2, 3, 8, 8)}, r"expected \(1, 3, H, W\)"),
    ],
)
def test_bad_input_is_one_clear_line(change: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"image": toy.image(), "ids": torch.tensor([0])}
    with pytest.raises(FpnProbeError, match=message):
        attribute(toy.chain(), **{**given, **change})  # type: ignore[arg-type]


def test_rough_integrals_are_taken_again_until_they_are_complete() -> None:
    chain, image = toy.chain(), toy.image()
    ids = torch.arange(3)
    rough = attribute(chain, image=image, ids=ids, at="stages", steps=4, tolerance=float("inf"))
    fine = attribute(chain, image=image, ids=ids, at="stages", steps=4, tolerance=0.01)
    bad = rough.residual() > 0.01
    assert bad.any()
    assert fine.residual().max() < rough.residual().max() / 2
    for a, b in zip(rough.tensors, fine.tensors, strict=True):
        torch.testing.assert_close(a[~bad], b[~bad], rtol=0, atol=0)
        assert not torch.equal(a[bad], b[bad])
