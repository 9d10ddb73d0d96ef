"""Each kind of operator gives the marks that its meaning says."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from fpnprobe.probing.provenance import NONE, Provenance
from fpnprobe.probing.provenance.marks import is_lost

LOST = -9  # stands for every code of a lost object


class Annotations(NamedTuple):
    n: Tensor  # class numbers (3,)
    b: Tensor  # boxes (3, 4)


def follow(compute: Callable[[Annotations], Tensor]) -> list[object]:
    """Marks of what a computation makes of the annotations of objects 0, 1, 2."""
    labels, boxes = torch.tensor([5, 6, 5]), torch.arange(12.0).reshape(3, 4)
    provenance = Provenance()
    provenance.memory.classes = labels.clone()
    provenance.mark(labels, torch.arange(3))
    provenance.mark(boxes, torch.arange(3)[:, None])
    with provenance:
        result = compute(Annotations(labels, boxes))
    marks = provenance.marks_of(result)
    return list(torch.where(is_lost(marks), LOST, marks).tolist())


def read_points(boxes: Tensor) -> Tensor:
    """One point of each of three maps, as of a target mask."""
    maps, places = boxes.reshape(3, 1, 2, 2), torch.zeros(3, 1, 1, 2)
    return torch.nn.functional.grid_sample(maps, places, align_corners=False).reshape(3)


MOVES: dict[str, tuple[Callable[[Annotations], Tensor], list[object]]] = {
    "index by numbers": (lambda t: t.n[torch.tensor([2, 0, 0])], [2, 0, 0]),
    "index by a mask": (lambda t: t.n[torch.tensor([False, True, True])], [1, 2]),
    "index by two": (lambda t: t.b[torch.tensor([1, 2]), torch.tensor([0, 3])], [1, 2]),
    "gather": (lambda t: t.b.gather(0, torch.tensor([[2, 1, 0, 0]])), [[2, 1, 0, 0]]),
    "index_select": (lambda t: t.n.index_select(0, torch.tensor([1])), [1]),
    "cat": (lambda t: torch.cat([t.n[:1], torch.zeros(2).long(), t.n[2:]]), [0, NONE, NONE, 2]),
    "stack": (lambda t: torch.stack([t.n, t.n.flip(0)], 1), [[0, 2], [1, 1], [2, 0]]),
    "repeat": (lambda t: t.n[:2].repeat(2), [0, 1, 0, 1]),
    "repeat_interleave": (lambda t: t.n[:2].repeat_interleave(2), [0, 0, 1, 1]),
    "expand": (lambda t: t.n[:2, None].expand(2, 2).contiguous(), [[0, 0], [1, 1]]),
    "view, transpose": (lambda t: t.b.t()[0], [0, 1, 2]),
    "pad": (lambda t: torch.nn.functional.pad(t.n, (1, 0)), [NONE, 0, 1, 2]),
    "masked_select": (lambda t: t.n.masked_select(t.n == 5), [0, 2]),
    "to another type": (lambda t: t.n.float().double(), [0, 1, 2]),
    "split, unbind": (lambda t: t.b.unbind(1)[3], [0, 1, 2]),
    "chunk": (lambda t: torch.cat(t.b.chunk(2, 1)[::-1], 1)[:, 0], [0, 1, 2]),
    "a reader of an unmarked table": (lambda t: torch.arange(9)[t.n], [0, 1, 2]),
    "points of masks": (lambda t: read_points(t.b), [0, 1, 2]),
    "tril": (lambda t: t.n[:2, None].expand(2, 2).tril(), [[0, NONE], [1, 1]]),
}
WRITES: dict[str, tuple[Callable[[Annotations], Tensor], list[object]]] = {
    "values at numbers": (
        lambda t: torch.zeros(4).long().index_put_((torch.tensor([3, 1]),), t.n[:2]),
        [NONE, 1, NONE, 0],
    ),
    "values under a mask": (
        lambda t: _assign(torch.tensor([1, 0, 1]).bool(), t.n[1:]),
        [1, NONE, 2],
    ),
    "a slice": (lambda t: _assign(slice(1, 3), t.n[:2]), [NONE, 0, 1]),
    "one element": (lambda t: _assign(2, t.n[0]), [NONE, NONE, 0]),
    "a constant takes an object away": (lambda t: _overwrite(t.n, t.n == 5, 99), [NONE, 1, NONE]),
    "one under a mask": (lambda t: torch.zeros(3).masked_fill_(t.n == 5, 1.0), [0, NONE, 2]),
    "one at numbered places": (
        lambda t: _assign((t.n == 5).nonzero()[:, 0], 1),
        [0, NONE, 2],
    ),
    "one hot": (
        lambda t: torch.nn.functional.one_hot(torch.cat([t.n[:1], torch.zeros(1).long()]), 6),
        [[0] * 6, [NONE] * 6],
    ),
    "one hot by two numbers": (
        lambda t: _assign_table((torch.tensor([1, 0]), t.n[:2]), 1.0),
        [[1] * 7, [0] * 7, [NONE] * 7],
    ),
    "queries of images": (  # their numbers are places, not classes
        lambda t: _assign_table((torch.tensor([0, 0]), torch.tensor([1, 4])), t.n[:2].float()),
        [[NONE, 0, NONE, NONE, 1, NONE, NONE], [NONE] * 7, [NONE] * 7],
    ),
    "a dropped label at its number": (
        lambda t: _overwrite_at(t.n, (t.n == 5).nonzero()[:1, 0], 99),
        [NONE, 1, 2],
    ),
    "a one at its object's place in a table of bytes": (  # the matching of SimOTA
        lambda t: _overwrite_at((t.n >= 0).byte(), (t.n == 5).nonzero()[:1, 0], 1),
        [0, 1, 2],
    ),
    "a bound of itself": (
        lambda t: _overwrite(t.b[:, 0].clone(), t.b[:, 0] > 3, 9),
        [0, 1, 2],
    ),
    "scatter": (
        lambda t: torch.zeros(3).scatter_(0, torch.tensor([2, 0]), t.b[:2, 0]),
        [1, NONE, 0],
    ),
    "through a view": (lambda t: _assign_column(t.b), [[NONE, 0], [NONE, 1], [NONE, 2]]),
    "fill": (lambda t: t.n.fill_(3), [NONE, NONE, NONE]),
}
CHOICES: dict[str, tuple[Callable[[Annotations], Tensor], list[object]]] = {
    "argmax": (lambda t: t.b.argmax(0), [2, 2, 2, 2]),
    "max": (lambda t: t.b.max(0).values, [2, 2, 2, 2]),
    "min": (lambda t: t.b.min(0).indices, [0, 0, 0, 0]),
    "amin": (lambda t: t.b.amin(0), [0, 0, 0, 0]),
    "topk": (lambda t: t.b[:, 0].topk(2).indices, [2, 1]),
    "sort": (lambda t: t.b[:, 0].sort(descending=True).values, [2, 1, 0]),
    "nonzero": (lambda t: (t.n == 5).nonzero()[:, 0], [0, 2]),
    "where": (lambda t: torch.where(t.n == 5, t.n, torch.zeros(3).long()), [0, NONE, 2]),
    "where, a constant": (lambda t: torch.where(t.n == 5, 1.0, 0.0), [0, NONE, 2]),
    "kthvalue": (lambda t: t.b[:, 0].kthvalue(2).indices.reshape(1), [1]),
}
JOINS: dict[str, tuple[Callable[[Annotations], Tensor], list[object]]] = {
    "with a number": (lambda t: (t.n + 1) * 2, [0, 1, 2]),
    "with an unmarked tensor": (lambda t: t.n * torch.ones(2, 1).long(), [[0, 1, 2], [0, 1, 2]]),
    "of two objects": (lambda t: t.n + t.n.flip(0), [LOST, 1, LOST]),
    "what is false is nobody's": (lambda t: t.n == 6, [NONE, 1, NONE]),
    "what is not": (lambda t: ~(t.n == 6), [NONE, NONE, NONE]),
    "and": (lambda t: (t.n == 5) & (t.b[:, 0] > 0), [NONE, NONE, 2]),
    "the larger of two": (lambda t: torch.maximum(t.b[0], t.b[2]), [2, 2, 2, 2]),
    "clamp": (lambda t: t.b[:, 0].clamp(min=0), [0, 1, 2]),
    "sum of one object": (lambda t: t.b.sum(1), [0, 1, 2]),
    "sum of several": (lambda t: t.b.sum(0), [LOST, LOST, LOST, LOST]),
    "any": (lambda t: (t.b > 7).any(0), [2, 2, 2, 2]),
    "a factor of zero": (lambda t: t.n * torch.tensor([0, 1, 0]), [NONE, 1, NONE]),
    "how many borders are passed": (
        lambda t: (torch.tensor([[3.0, 9.0]]) <= t.b[:, :1]).sum(1),
        [0, 1, 2],
    ),
    "product": (lambda t: t.b.prod(1), [0, 1, 2]),
    "matrix product": (lambda t: torch.ones(2, 4) @ t.b.t(), [[0, 1, 2], [0, 1, 2]]),
    "distances": (lambda t: torch.cdist(torch.ones(1, 4), t.b), [[0, 1, 2]]),
    "cumsum": (lambda t: t.b[:1].cumsum(1), [[0, 0, 0, 0]]),
}


def _assign(where: object, value: object) -> Tensor:
    table = torch.zeros(3).long()
    table[where] = value  # type: ignore[index,assignment]
    return table


def _assign_table(where: tuple[Tensor, Tensor], value: Tensor | float) -> Tensor:
    table = torch.zeros(3, 7)
    table[where] = value
    return table


def _assign_column(boxes: Tensor) -> Tensor:
    table = torch.zeros(3, 2)
    table[:, 1] = boxes[:, 0]
    return table


def _overwrite_at(table: Tensor, places: Tensor, value: int) -> Tensor:
    table[places] = value
    return table


def _overwrite(table: Tensor, mask: Tensor, value: int) -> Tensor:
    table[mask] = value
    return table


@pytest.mark.parametrize("name", [*MOVES, *WRITES, *CHOICES, *JOINS])
def test_marks_follow(name: str) -> None:
    compute, expected = {**MOVES, **WRITES, **CHOICES, **JOINS}[name]
    assert follow(compute) == expected


def test_an_iou_matrix_carries_the_object_of_its_best_match() -> None:
    anchors = torch.tensor([[0.0, 0, 3, 3], [5, 5, 9, 9], [40, 40, 44, 44]])
    boxes = torch.tensor([[5.0, 5, 8, 8], [0, 0, 4, 4]])
    provenance = Provenance()
    provenance.mark(boxes, torch.tensor([[0], [1]]))
    with provenance:
        low = torch.max(anchors[:, None, :2], boxes[None, :, :2])
        high = torch.min(anchors[:, None, 2:], boxes[None, :, 2:])
        overlap = (high - low).clamp(min=0).prod(-1)
        best, index = overlap.max(1)
        matched = index.clone()
        matched[best < 1] = -1
    assert provenance.marks_of(index).tolist()[:2] == [1, 0]
    assert provenance.marks_of(matched).tolist() == [1, 0, NONE]


def test_an_operator_without_a_rule_loses_the_object_and_says_so() -> None:
    labels = torch.tensor([1, 2])
    provenance = Provenance()
    provenance.mark(labels, torch.arange(2))
    with provenance:
        made = torch.fft.fft(labels.float()).real.clone()
    (code, *_) = provenance.marks_of(made).tolist()
    assert provenance.unknown_operators
    assert code == NONE or "has no rule" in provenance.reasons.text(code)


def test_values_and_random_numbers_are_not_changed() -> None:
    boxes = torch.arange(8.0).reshape(2, 4)

    def compute() -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        order = torch.randperm(2)
        return boxes[order].sort(1, descending=True).values * torch.rand(2, 1), torch.rand(1)

    plain = compute()
    provenance = Provenance()
    provenance.mark(boxes, torch.arange(2)[:, None])
    with provenance:
        followed = compute()
    assert all(torch.equal(a, b) for a, b in zip(plain, followed, strict=True))


def test_marks_die_with_their_memory() -> None:
    provenance = Provenance()
    for _ in range(3000):
        provenance.mark(torch.zeros(3), torch.zeros(3))
    assert len(provenance.memory._by_storage) < 2100
