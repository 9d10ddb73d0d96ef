"""Wrong marks are found by what targets say of their objects; all of them are told."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.provenance import MarkedObjects, Witness
from fpnprobe.probing.provenance.box_check import box_forms

BOXES = torch.tensor([[0.0, 0, 4, 4], [2, 2, 9, 9], [1, 1, 2, 3]])
CLASSES = torch.tensor([0, 3, 1])


def witness(*, problems: list[str] | None = None, width: int | None = None) -> Witness:
    objects = MarkedObjects(torch.zeros(3).long(), CLASSES, box_forms(BOXES))
    return Witness(objects, width=width, problems=problems)


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "corners": lambda b: b,
    "center and size": lambda b: torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1),
    "corner and size": lambda b: torch.cat([b[:, :2], b[:, 2:] - b[:, :2]], 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_boxes_are_known_in_each_form(form: str) -> None:
    own = witness()
    marks = torch.tensor([2, 0, -1, 1])
    assert own.check_boxes("loss", FORMS[form](BOXES[marks]), marks)
    assert own.witnessed["loss"] == 3
    with pytest.raises(FpnProbeError, match="1 of 3 rows have the box of another object"):
        witness().check_boxes("loss", FORMS[form](BOXES[[2, 1, 0, 1]]), marks)


def test_offsets_are_nobodys_box() -> None:
    own = witness()
    assert not own.check_boxes("loss", torch.rand(4, 4) + 20, torch.tensor([2, 0, -1, 1]))
    assert own.witnessed["loss"] == 0


def test_background_rows_that_are_marked_are_found() -> None:
    target = torch.tensor([0, 3, 1, 4, 4])  # 4 is background
    with pytest.raises(FpnProbeError, match="2 of 5 rows have a class target"):
        witness().check_classes("loss", target, torch.tensor([0, 1, 2, 0, 1]), columns=5)
    hot = F.one_hot(target, 5)[:, :4].float()
    with pytest.raises(FpnProbeError, match="2 of 5 rows have a class target"):
        witness().check_table("loss", hot, torch.tensor([0, 1, 2, 0, 1]))


def test_bins_are_no_classes() -> None:
    own = witness()
    own.check_classes(
        "loss", torch.tensor([7, 3, 12, 0, 5]), torch.tensor([0, 1, 2, 0, 1]), columns=16
    )
    assert own.witnessed["loss"] == 0


def test_a_heat_map_of_another_class_is_found() -> None:
    target, marks = torch.zeros(1, 4, 3, 3), torch.full((1, 4, 3, 3), -1)
    target[0, 3, 1, 1], marks[0, 3, 1, 1] = 1.0, 1
    own = witness(width=4)
    own.check_channels("loss", target, marks)
    assert own.witnessed["loss"] == 1
    with pytest.raises(FpnProbeError, match="1 of 1 elements"):
        witness(width=4).check_channels("loss", target, torch.where(marks == 1, 0, marks))


def test_all_problems_are_told() -> None:
    problems: list[str] = []
    own = witness(problems=problems)
    for _layer in range(2):  # of a decoder: the same loss fails alike
        own.check_boxes("loss_bbox", BOXES[[1, 1]], torch.tensor([0, 1]))
    own.check_classes("loss_cls", torch.tensor([3, 3, 1]), torch.tensor([0, 1, 2]), columns=5)
    assert [text.partition(":")[0] for text in problems] == ["loss_bbox", "loss_cls"]


def measured(compute: Callable[[Tensor, Tensor], Tensor]) -> fpnprobe.probing.Sample:
    torch.manual_seed(0)
    layer1 = torch.nn.Linear(4, 4).double()
    boxes, labels = BOXES.double().clone(), CLASSES.clone()
    with fpnprobe.watch(torch.nn.ModuleDict({"layer1": layer1})) as probe:
        probe.mark(boxes, labels, areas=[16.0, 4000.0, 20000.0])
        sample = probe.measure(compute(layer1(torch.rand(3, 4).double()), boxes))
    assert sample is not None and sample.residuals.activation < 1e-10
    return sample


def test_loss_beside_the_rows_is_counted_and_no_witness() -> None:
    whole = measured(lambda x, b: F.l1_loss(x, b))
    assert whole.residuals.loss < 1e-10 and whole.unlabeled == 0
    penalized = measured(lambda x, b: F.l1_loss(x, b) + x.square().mean())
    assert penalized.residuals.loss != penalized.residuals.loss
    assert 0 < penalized.unlabeled < 1 and penalized.values["background"] > 0


def all_pairs(predictions: Tensor, boxes: Tensor) -> Tensor:
    """An overlap of each prediction with each box, `(3, 3)`."""
    low = torch.maximum(predictions[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(predictions[:, None, 2:] + 9, boxes[None, :, 2:])
    sizes = (predictions[:, 2:] + 9 - predictions[:, :2]).prod(1)
    inside = (high - low).exp().prod(-1)
    return inside / (sizes[:, None].exp() + boxes[None].sum(-1) + inside)


def test_the_diagonal_of_all_pairs_splits_by_value_too() -> None:
    def compute(predictions: Tensor, boxes: Tensor) -> Tensor:
        near = F.l1_loss(predictions, boxes)  # names the rows
        return near + (1 - torch.diag(all_pairs(predictions, boxes))).sum()

    sample = measured(compute)
    assert sample.residuals.loss < 1e-10 and sample.unlabeled == 0
    assert min(sample.values[name] for name in ("small", "medium", "large")) > 0


def test_of_one_class_a_place_map_is_not_taken_for_classes() -> None:
    """GA-RPN: one class, and a map of one column whose positives are 1."""
    single = Witness(MarkedObjects(torch.zeros(2).long(), torch.zeros(2).long()), width=1)
    single.check_classes("loss_loc", torch.tensor([1, 1, 0]), torch.tensor([0, 1, -1]), columns=1)
    assert single.witnessed["loss_loc"] == 0
    single.check_classes("loss_cls", torch.tensor([0, 0, 1]), torch.tensor([0, 1, -1]), columns=1)
    assert single.witnessed["loss_cls"] == 2
