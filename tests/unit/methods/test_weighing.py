"""f_w(P) P and its gradient of our own, against the plain composition of f_w's layers."""

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from fpnprobe.methods import CascadedGrouping, CascadeOptions, FusionWeight
from fpnprobe.methods.weighing import _ROWS, weigh
from tests.unit.methods.asserts import assert_equals_twin, pyramid

LARGE = (80, 90)  # more locations than are taken at a time
assert LARGE[0] * LARGE[1] > _ROWS


@pytest.mark.parametrize("outputs", ["one", "channels"])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_start": "random"},
        {"weight_start": "random", "weight_activation": "sigmoid"},
        {"weight_start": "random", "weight_activation": "sigmoid", "weight_norm": False},
        {"weight_start": "random", "weight_norm": False},
    ],
    ids=str,
)
def test_weighed_map_is_the_product(
    outputs: Any, memory: Any, adds: bool, options: dict[str, Any]
) -> None:
    settings = CascadeOptions(**{"weight_outputs": outputs, "weight_width": 32, **options})
    module = FusionWeight(16, options=settings).double()
    inputs = [torch.randn(2, 16, *LARGE, dtype=torch.float64) for _ in range(1 + adds)]
    inputs = [each.contiguous(memory_format=memory).requires_grad_() for each in inputs]

    def fast(feature: Tensor, added: Tensor | None = None) -> list[Tensor]:
        return [weigh(module, feature, added)]

    def slow(feature: Tensor, added: Tensor | None = None) -> list[Tensor]:
        product = module(feature) * feature
        return [product if added is None else product + added]

    assert_equals_twin(module, fast, slow, inputs)


def test_gradient_may_be_asked_for_twice() -> None:
    """As a probe asks for it: once for each bucket, on a graph that is kept."""
    module = CascadedGrouping(16, stages=2)
    maps = pyramid(sizes=((16, 24), (8, 12), (4, 6), (2, 3)))
    total = cast(Tensor, sum(level.square().sum() for level in module.double()(maps)))
    wanted = [*maps, *module.parameters()]
    first = torch.autograd.grad(total, wanted, retain_graph=True)
    for one, other in zip(first, torch.autograd.grad(total, wanted), strict=True):
        assert torch.equal(one, other)


def test_parts_without_a_gradient_change_nothing() -> None:
    module = CascadedGrouping(16, stages=2).double()
    maps = pyramid(sizes=((8, 8), (4, 4), (2, 2), (1, 1)))
    plain = [level.detach() for level in module(maps)]
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    levels = module(maps)
    for level, expected in zip(levels, plain, strict=True):
        assert torch.equal(level, expected)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(sum(x.sum() for x in levels), maps))


def test_half_precision_is_near_single() -> None:
    torch.manual_seed(0)
    module = CascadedGrouping(32, stages=2)
    maps = [each.float().detach().requires_grad_() for each in pyramid(channels=32, sizes=(
        (16, 16), (8, 8), (4, 4), (2, 2)))]  # fmt: skip
    gradients = {}
    for half in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            levels = module(maps)
        total = cast(Tensor, sum(level.float().square().mean() for level in levels))
        gradients[half] = torch.autograd.grad(total, [*maps, *module.parameters()])
    for single, approximate in zip(gradients[False], gradients[True], strict=True):
        assert approximate.dtype == single.dtype
        assert (approximate - single).norm() < 0.2 * single.norm() + 1e-3


def test_an_f_w_that_is_listened_to_is_called() -> None:
    module = CascadedGrouping(16, stages=2).double()
    maps = pyramid(sizes=((8, 8), (4, 4), (2, 2), (1, 1)))
    plain = module(maps)
    seen: list[Tensor] = []
    handle = module.weights[0].register_forward_hook(lambda _m, _i, out: seen.append(out))
    for level, expected in zip(module(maps), plain, strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-12, atol=1e-12)
    handle.remove()
    assert len(seen) == 8  # two stages, four levels
