"""The second look in a finer type works on heads that make their targets in one type by word."""

import torch
from torch.nn import functional as F

from fpnprobe.mm.hook.recast import MixedTypes


def test_numbers_of_two_types_are_joined_in_the_wider_one() -> None:
    scores = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0.0, 1.0])
    places = torch.zeros(3)
    with MixedTypes():
        assert F.binary_cross_entropy(scores.sigmoid(), target).dtype == torch.float64
        places[torch.tensor([0, 2])] = scores.detach() + 1
    assert places.tolist() == [1.0, 0.0, 1.0]
