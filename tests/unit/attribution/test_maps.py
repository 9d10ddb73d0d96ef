import pytest
import torch

from fpnprobe.attribution.maps import Maps
from fpnprobe.errors import FpnProbeError


def maps(*tensors: torch.Tensor, reference: float = 0.0) -> Maps:
    value = torch.tensor([2.0])
    return Maps("any", ("P2", "P3"), tensors, value, torch.tensor([reference]))


def test_net_mass_share_and_residual() -> None:
    found = maps(torch.tensor([[[[1.0, -1.0]]]]), torch.full((1, 1, 1, 1), 2.0))
    assert found.net().tolist() == [[0, 2]]
    assert found.mass().tolist() == [[2, 2]]
    assert found.shares().tolist() == [[0.5, 0.5]]
    assert found.residual().tolist() == [0]
    assert maps(*found.tensors, reference=1.0).residual().tolist() == [1]


def test_no_attribution_has_no_share() -> None:
    zeros = torch.zeros(1, 1, 2, 2)
    assert maps(zeros, zeros).shares().isnan().all()


def test_channels_are_summed_in_a_cell() -> None:
    found = maps(torch.tensor([[[[1.0]], [[-3.0]]]]), torch.zeros(1, 2, 1, 1))
    assert found.cells()[0].tolist() == [[[-2.0]]]


def test_repr_names_the_levels() -> None:
    found = maps(torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 1))
    assert repr(found) == "Maps(any, 1 examples, P2 2x3, P3 1x1)"


def test_levels_and_maps_must_match() -> None:
    with pytest.raises(FpnProbeError, match="1 attribution maps for the 2 levels"):
        maps(torch.zeros(1, 1, 1, 1))
