"""How far one step moves M_k and the grouping's output, beside a 1x1 convolution of the map."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fpnprobe.methods import FeatureGrouping, GroupingOptions, SwapMatrix

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.02),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=2e-3),
}
MOST = 3.0


class Swapped(nn.Module):
    """M_k C'_k with M_k of the image."""

    def __init__(self, swap: SwapMatrix) -> None:
        super().__init__()
        self.swap = swap

    def forward(self, feature: Tensor) -> Tensor:
        return torch.bmm(self.swap(feature), feature.flatten(2)).view_as(feature)


def convolution(channels: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, channels, 1, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer


def relative_change(
    make: Callable[[], nn.Module], read: Callable[[nn.Module], Tensor], optimizer: str
) -> float:
    """Move the module by one step towards random targets; by how much does what is read change?"""
    torch.manual_seed(0)
    module = make()
    with torch.no_grad():
        before = read(module).clone()
    target = torch.randn(before.shape, generator=torch.Generator().manual_seed(1))
    step = OPTIMIZERS[optimizer](module.parameters())
    (read(module) - target).square().mean().backward()
    step.step()
    with torch.no_grad():
        return float((read(module) - before).norm() / before.norm())


def feature(channels: int, size: int = 12) -> Tensor:
    """A batch of maps whose channels have means, as features do."""
    generator = torch.Generator().manual_seed(2)
    means = torch.randn(1, channels, 1, 1, generator=generator)
    return torch.randn(2, channels, size, size, generator=generator) + 0.5 * means


WIDTHS = [(z, r) for z in (64, 128, 256) for r in sorted({16, 64, z})]


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("form", ["pool-first", "pool-last"])
@pytest.mark.parametrize(("channels", "width"), WIDTHS)
def test_one_step_moves_a_swap_as_it_moves_a_convolution(
    channels: int, width: int, form: Any, optimizer: str
) -> None:
    """Both M_k itself and M_k C'_k; M_k is read through the loss of the product."""
    x = feature(channels)
    ours = relative_change(
        lambda: Swapped(SwapMatrix(channels, bottleneck=width, form=form)),
        lambda m: m(x),
        optimizer,
    )
    theirs = relative_change(lambda: convolution(channels), lambda m: m(x), optimizer)
    assert 0.3 * theirs < ours < MOST * theirs

    matrices = matrix_changes(x, width=width, form=form, optimizer=optimizer)
    assert 0.3 * matrices["kernel"] < matrices["swap"] < MOST * matrices["kernel"]


def matrix_changes(x: Tensor, *, width: int, form: Any, optimizer: str) -> dict[str, float]:
    """How far the same loss of the product moves M_k and a convolution's kernel."""
    channels, changes = x.shape[1], {}
    for name, module in {
        "swap": Swapped(SwapMatrix(channels, bottleneck=width, form=form)),
        "kernel": convolution(channels),
    }.items():

        def matrix(module: nn.Module = module) -> Tensor:
            return module.swap(x) if isinstance(module, Swapped) else module.weight.flatten(1)  # type: ignore[operator]

        with torch.no_grad():
            before = matrix().clone()
        target = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        step = OPTIMIZERS[optimizer](module.parameters())
        (module(x) - target).square().mean().backward()
        step.step()
        with torch.no_grad():
            changes[name] = float((matrix() - before).norm() / before.norm())
    return changes


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize(("channels", "width"), [(64, 16), (64, 64), (128, 64), (256, 16)])
def test_one_step_moves_a_grouping_as_it_moves_a_convolution(
    channels: int, width: int, optimizer: str
) -> None:
    pyramid = [feature(channels, size) for size in (16, 8, 4, 2)]
    options = GroupingOptions(bottleneck=width)

    def read(module: nn.Module) -> Tensor:
        return torch.cat([level.flatten(1) for level in module(pyramid)], dim=1)

    class Convolutions(nn.ModuleList):
        def forward(self, maps: list[Tensor]) -> list[Tensor]:
            return [layer(x) for layer, x in zip(self, maps, strict=True)]

    ours = relative_change(lambda: FeatureGrouping(channels, options=options), read, optimizer)
    theirs = relative_change(
        lambda: Convolutions(convolution(channels) for _ in range(4)), read, optimizer
    )
    assert ours < MOST * theirs


def test_full_rate_is_what_the_test_would_find() -> None:
    """The form of before: Xavier weights without a divisor, at Z = 64."""
    x = feature(64)
    ours = relative_change(
        lambda: Swapped(SwapMatrix(64, start="xavier", rate="full")), lambda m: m(x), "AdamW"
    )
    assert ours > 10 * relative_change(lambda: convolution(64), lambda m: m(x), "AdamW")


@pytest.mark.parametrize("start", ["rotation", "identity"])
def test_channels_keep_their_rank_at_the_start(start: Any) -> None:
    x = feature(64)
    with torch.no_grad():
        swapped = Swapped(SwapMatrix(64, start=start))(x)
    before, after = (torch.linalg.svdvals(m.transpose(0, 1).flatten(1)) for m in (x, swapped))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-3)


def test_matrix_depends_on_the_image_after_one_step() -> None:
    module = Swapped(SwapMatrix(32))
    x = torch.randn(2, 32, 6, 6)
    first, second = module.swap(x)
    assert torch.equal(first, second)
    step = OPTIMIZERS["AdamW"](module.parameters())
    module(x).square().sum().backward()
    step.step()
    first, second = module.swap(x)
    assert not torch.allclose(first, second, atol=1e-5)
