"""The forward pass alone takes another order of computation and gives the same maps."""

import pytest
import torch

from fpnprobe.methods import CascadedGrouping, GroupingOptions, twins


@pytest.mark.parametrize("finer", ["max", "average"])
@pytest.mark.parametrize("stages", [1, 2])
def test_maps_are_those_of_the_training_and_of_the_twin(stages: int, finer: str) -> None:
    torch.manual_seed(0)
    grouping = CascadedGrouping(32, stages=stages, grouping=GroupingOptions(finer=finer))  # type: ignore[arg-type]
    pyramid = [torch.randn(2, 32, size, size + 3) for size in (17, 9, 5, 3)]
    trained = grouping(pyramid)
    with torch.no_grad():
        alone, literal = grouping(pyramid), twins.cascade(grouping, pyramid)
    for ours, training, twin in zip(alone, trained, literal, strict=True):
        torch.testing.assert_close(ours, training.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours, twin, rtol=1e-4, atol=1e-5)
        assert ours.is_contiguous()
