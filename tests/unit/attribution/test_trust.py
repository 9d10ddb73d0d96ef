"""Faithfulness, robustness and sanity: each must tell a good map from a bad one."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fpnprobe.attribution.chain import Chain, Levels
from fpnprobe.attribution.faithfulness import curves
from fpnprobe.attribution.maps import Maps
from fpnprobe.attribution.methods import attribute
from fpnprobe.attribution.robustness import robustness
from fpnprobe.attribution.sanity import randomization
from fpnprobe.attribution.words import Place
from fpnprobe.errors import FpnProbeError

from . import toy


class Weighted(nn.Module):
    """`f = sum_l <w_l, x_l>`, so that the best map is known: `w * x`."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(
            torch.randn(4, n, n, dtype=torch.float64).exp() for n in (8, 4)
        )

    def forward(self, pyramid: Levels, ids: Tensor) -> Tensor:
        return sum(
            ((w * x).flatten(1).sum(1) for w, x in zip(self.weights, pyramid, strict=True)),
            torch.zeros(len(ids), dtype=torch.float64),
        )


class TwoMaps(nn.Module):
    def forward(self, image: Tensor) -> Levels:
        pooled = nn.functional.avg_pool2d(image, 4).repeat(1, 2, 1, 1)[:, :4]
        return pooled, nn.functional.avg_pool2d(pooled, 2)


def linear() -> Chain:
    return Chain(TwoMaps(), neck=None, readout=Weighted(), stages=("C2", "C3"))


ONE = torch.tensor([0])


def attributed(chain: Chain, image: Tensor) -> Maps:
    return attribute(chain, image=image, ids=ONE, method="activation_x_gradient", at="stages")


def test_the_true_map_beats_random_order_and_its_negative_loses() -> None:
    chain, image = linear(), torch.rand(1, 3, 32, 32, dtype=torch.float64)
    maps = attributed(chain, image)
    wrong = replace(maps, tensors=tuple(-t for t in maps.tensors))
    good = curves(chain, image=image, ids=ONE, maps=maps, at="stages")
    bad = curves(chain, image=image, ids=ONE, maps=wrong, at="stages")
    assert (good["gain"] > 0.1).all()
    assert (bad["gain"] < -0.1).all()
    assert good["curve"].tolist() == ["deletion", "insertion"]


def test_deletion_scores_equal_a_plain_loop() -> None:
    chain, image = linear(), torch.rand(1, 3, 32, 32, dtype=torch.float64)
    maps = attributed(chain, image)
    found = curves(chain, image=image, ids=ONE, maps=maps, at="stages", points=5, batch=3)
    cells = torch.cat([c.flatten() for c in maps.cells()])
    falling = cells.sort(descending=True).values
    steps = [falling[round(k / 4 * len(falling)) :].sum() / falling.sum() for k in range(5)]
    deletion = float(sum(steps)) / 5
    assert found["score"].tolist() == pytest.approx([deletion, 1 - deletion])


def test_infidelity_is_zero_for_the_true_map_of_a_linear_readout() -> None:
    chain, image = linear(), torch.rand(1, 3, 32, 32, dtype=torch.float64)
    for method in ("activation_x_gradient", "integrated_gradients"):
        found = robustness(chain, image=image, ids=ONE, method=method, at="stages", samples=5)
        assert found["infidelity"].item() == pytest.approx(0, abs=1e-12)
    wrong = robustness(chain, image=image, ids=ONE, method="grad_cam", at="stages", samples=5)
    assert wrong["infidelity"].item() > 1e-3


@pytest.mark.parametrize("at", ["stages", "pyramid"])
def test_sensitivity_is_small_and_not_zero(at: Place) -> None:
    found = robustness(
        toy.chain(),
        image=toy.image(),
        ids=torch.arange(2),
        method="integrated_gradients",
        at=at,
        samples=3,
    )
    assert found["sensitivity"].between(1e-4, 0.5).all()
    assert found["id"].tolist() == [0, 1]


def test_one_level_is_enough() -> None:
    chain = Chain(
        nn.Conv2d(3, 4, 3, stride=4).double(),
        neck=None,
        readout=lambda levels, ids: levels[0].flatten(1).sum(1) * (ids + 1),
        stages=("C5",),
    )
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    found = robustness(
        chain, image=image, ids=ONE, method="activation_x_gradient", at="stages", samples=2
    )
    assert found["infidelity"].item() == pytest.approx(0, abs=1e-12)


def test_conductance_has_no_robustness() -> None:
    with pytest.raises(FpnProbeError, match="deletion and insertion"):
        robustness(toy.chain(), image=toy.image(), ids=ONE, method="conductance", at="stages")


@pytest.mark.parametrize("at", ["stages", "pyramid"])
def test_shuffled_weights_change_the_maps_and_come_back(at: Place) -> None:
    chain, image = toy.chain(), toy.image()
    before = [p.detach().clone() for p in chain.parameters()]
    methods = ["integrated_gradients", "activation_x_gradient", "grad_cam", "conductance"]
    found = randomization(chain, image=image, ids=torch.arange(3), methods=methods, at=at, steps=16)
    assert all(torch.equal(a, b) for a, b in zip(before, chain.parameters(), strict=True))
    assert len(found) == 12
    assert found["rank_correlation"].mean() < 0.9


def test_a_map_that_ignores_the_weights_is_caught() -> None:
    """A readout without weights: nothing is shuffled and the correlation is one."""
    chain = Chain(
        TwoMaps(),
        neck=None,
        readout=lambda levels, ids: sum(
            (level.square().flatten(1).sum(1) for level in levels), 0 * ids.double()
        ),
        stages=("C2", "C3"),
    )
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    found = randomization(
        chain, image=image, ids=ONE, methods=["activation_x_gradient"], at="stages"
    )
    assert found["rank_correlation"].item() == pytest.approx(1)


def test_too_few_points() -> None:
    chain, image = linear(), torch.rand(1, 3, 32, 32, dtype=torch.float64)
    with pytest.raises(FpnProbeError, match="at least 3"):
        curves(chain, image=image, ids=ONE, maps=attributed(chain, image), at="stages", points=2)
