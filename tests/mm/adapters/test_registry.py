"""A RoI head that calls its heads in its own way is followed, and not left to their adapters."""

import pytest
from mmdet.models.roi_heads import CascadeRoIHead, DoubleHeadRoIHead, PISARoIHead, StandardRoIHead
from torch import nn

from fpnprobe.mm.adapters.registry import calls_heads_as_usual


@pytest.mark.parametrize(
    ("kind", "usual"),
    [
        (StandardRoIHead, True),
        (CascadeRoIHead, True),
        (DoubleHeadRoIHead, True),  # other features, the same losses
        (PISARoIHead, False),  # weighs the samples of a loss call by another call
    ],
)
def test_owners_with_a_way_of_their_own_are_told_apart(kind: type[nn.Module], usual: bool) -> None:
    module = kind.__new__(kind)
    assert calls_heads_as_usual(module) == usual
