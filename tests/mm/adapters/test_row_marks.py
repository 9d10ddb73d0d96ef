"""Rows of a loss call take the objects of their targets, and a weight does not change that."""

import torch

from fpnprobe.mm.adapters.row_marks import label_rows
from fpnprobe.probing.provenance import BACKGROUND, NONE, Provenance


def test_a_weight_of_one_object_leaves_a_row_of_two_objects_split() -> None:
    """YOLOv3: a map of targets for each image, and a mask that may hold a single object."""
    provenance = Provenance()
    prediction = torch.zeros(2, 3, 2, requires_grad=True) * 1
    target, weight = torch.zeros(2, 3, 2), torch.zeros(2, 3, 1)
    marks = torch.full((2, 3, 2), NONE)
    marks[0, 0], marks[0, 1] = torch.tensor([4, 4]), torch.tensor([5, 5])
    provenance.mark(target, marks)
    provenance.mark(weight, torch.where(marks[..., :1] == 4, 4, NONE))
    rows = label_rows({"pred": prediction, "target": target, "weight": weight}, provenance)
    assert rows is not None
    expected = torch.where(marks == NONE, BACKGROUND, marks)
    assert rows.labels.tolist() == expected.tolist()
