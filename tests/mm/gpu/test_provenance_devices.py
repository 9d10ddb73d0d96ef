"""Numbers, masks and places on the CPU meet tensors on the GPU; marks follow as on a CPU."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fpnprobe.probing.provenance import Provenance
from tests.mm.gpu.device import DEVICE, NEEDS_DEVICE

pytestmark = NEEDS_DEVICE


def write_at_places(labels: Tensor) -> Tensor:
    target = labels.new_zeros(6)
    target[torch.tensor([4, 1])] = labels
    return target


def write_a_number_at_places(labels: Tensor) -> Tensor:
    target = labels.repeat(3)
    target[torch.tensor([0, 3])] = torch.tensor(9)
    return target


def write_under_a_mask(labels: Tensor) -> Tensor:
    target = labels.repeat(3)
    target[torch.tensor([True, False] * 3)] = torch.tensor(0)
    return target


WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "written at places": write_at_places,
    "a number at places": write_a_number_at_places,
    "a number under a mask": write_under_a_mask,
    "chosen by places": lambda labels: labels[torch.tensor([1, 1, 0])],
    "chosen by a mask": lambda labels: labels[torch.tensor([False, True])],
    "a number or a label": lambda labels: torch.where(labels > 3, labels, torch.tensor(0)),
    "plus a number": lambda labels: labels + torch.tensor(1),
    "times a number": lambda labels: labels * torch.tensor(0),
    "filled": lambda labels: labels.clone().masked_fill_(labels > 3, torch.tensor(7)),
    "to the CPU and back": lambda labels: labels.cpu().roll(1).to(labels.device),
    "copied": lambda labels: torch.zeros(2, dtype=labels.dtype).copy_(labels),
    "a line of numbers": lambda labels: torch.full((2, 2), 3, device=labels.device).index_put(
        (torch.tensor([0, 1]),), labels
    ),
}


def marks(way: Callable[[Tensor], Tensor], device: str) -> list[object]:
    labels = torch.tensor([3, 5], device=device)
    provenance = Provenance()
    provenance.mark(labels, torch.tensor([0, 1]))
    with provenance:
        result = way(labels)
    found: list[object] = provenance.marks_of(result).tolist()
    return found


@pytest.mark.parametrize("name", WAYS)
def test_marks_are_those_of_a_cpu(name: str) -> None:
    assert marks(WAYS[name], DEVICE) == marks(WAYS[name], "cpu")
