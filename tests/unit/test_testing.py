"""The properties can fail."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fpnprobe.probing import Probe, Residuals, Sample
from fpnprobe.testing import (
    ToyPyramid,
    assert_no_hooks_left,
    assert_partition_sums_to_total,
    assert_routes_sum_to_total,
    assert_same_records,
    relative_distance,
)


@pytest.fixture
def sample() -> Sample:
    torch.manual_seed(0)
    images = torch.randn(6, 3, 16, 16, dtype=torch.float64)
    return Probe("full").measure(*ToyPyramid().measured(images))


@pytest.mark.parametrize("name", ["loss", "activation", "parameter"])
def test_a_partition_that_does_not_add_up(sample: Sample, name: str) -> None:
    assert_partition_sums_to_total(sample)
    wrong = replace(sample, residuals=replace(sample.residuals, **{name: 2e-5}))
    with pytest.raises(AssertionError, match=name):
        assert_partition_sums_to_total(wrong)


def test_a_sample_that_was_not_audited(sample: Sample) -> None:
    with pytest.raises(AssertionError, match="not audited"):
        assert_partition_sums_to_total(replace(sample, residuals=Residuals(loss=0.0)))
    with pytest.raises(AssertionError, match="routes"):
        assert_routes_sum_to_total(replace(sample, residuals=Residuals(loss=0.0)))


def test_a_hook_of_any_kind_is_seen() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    assert_no_hooks_left(model)
    handles = [
        model[0].register_forward_hook(lambda *_: None),
        model[0].register_forward_pre_hook(lambda *_: None),
        model[0].register_full_backward_hook(lambda *_: None),
        next(model.parameters()).register_hook(lambda g: g),
    ]
    for handle in handles:
        with pytest.raises(AssertionError):
            assert_no_hooks_left(model)
        handle.remove()
    assert_no_hooks_left(model)
    vars(model)["forward"] = lambda x: x
    with pytest.raises(AssertionError, match="forward"):
        assert_no_hooks_left(model)


def test_records_that_differ(sample: Sample) -> None:
    assert_same_records(sample, sample)
    first, *rest = sample.records
    other = replace(sample, gradients=(replace(first, l2=first.l2 + 1), *rest))
    with pytest.raises(AssertionError):
        assert_same_records(sample, other)
    with pytest.raises(AssertionError):
        assert_same_records(sample, replace(sample, gradients=tuple(rest)))


def test_the_distance_of_lists_of_tensors() -> None:
    a, b = [torch.tensor([3.0]), torch.tensor([4.0])], [torch.zeros(1), torch.zeros(1)]
    assert relative_distance(a, b) == 5
    assert relative_distance(b, a) == 1
