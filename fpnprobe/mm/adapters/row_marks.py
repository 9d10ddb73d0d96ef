"""Which object is each row of a loss module's call? Its target arguments say, then its choice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fpnprobe.probing.provenance import BACKGROUND, NONE, Provenance, Witness
from fpnprobe.probing.provenance.marks import is_lost, is_object, join_reduced


@dataclass(frozen=True, slots=True)
class MarkedRows:
    """Rows of one loss call.

    Attributes:
        prediction: What the loss is given, `(R, ...)`.
        marks: Object of each row, `(R,)`; or of each element, where rows are several objects'.
        labels: The same with `BACKGROUND` where there is none, in the shape of the prediction.
    """

    prediction: Tensor
    marks: Tensor
    labels: Tensor


def label_rows(arguments: Mapping[str, Any], provenance: Provenance) -> MarkedRows | None:
    """Object of each row of a loss call; None where no gradient flows through its prediction."""
    values = list(arguments.values())
    prediction = values[0] if values else None
    if not isinstance(prediction, Tensor) or not prediction.requires_grad or not prediction.numel():
        return None
    memory, rank = provenance.memory, prediction.dim()
    conflict = provenance.reasons.code("targets of different objects meet")
    several = provenance.reasons.code("a row of the target holds several objects")
    found: Tensor | None = None
    elements: Tensor | None = None
    are_split = torch.zeros(0, dtype=torch.bool)
    for is_weight, target in _targets(arguments, len(prediction)):
        if not memory.knows(target):
            continue
        marks = memory.read(target)
        rows = join_reduced(marks, tuple(range(1, marks.dim())), several).reshape(-1)
        if bool((marks == BACKGROUND).all()):
            rows = marks.reshape(len(marks), -1)[:, 0] if marks.numel() else rows
        if target.shape == prediction.shape and rank > 1 and bool((rows == several).any()):
            elements, are_split = marks, rows == several
        found = rows if found is None else _join(found, rows, conflict, is_weight=is_weight)
    own = memory.read(prediction)
    own_rows = join_reduced(own, tuple(range(1, rank)), several).reshape(-1)
    if found is None or bool((found == NONE).all()):
        found = own_rows
    found = torch.where(is_lost(found) & is_object(own_rows), own_rows, found)
    # A weight of one object does not make a row of several targets that object's.
    if elements is not None and bool((are_split & ~is_object(own_rows)).any()):
        labels = torch.where(elements == NONE, BACKGROUND, elements)
        return MarkedRows(prediction, elements, labels)
    labels = torch.where(found == NONE, BACKGROUND, found)
    wide = labels.reshape(-1, *[1] * (rank - 1)).expand(prediction.shape)
    return MarkedRows(prediction, found, wide)


def _targets(arguments: Mapping[str, Any], rows: int) -> Iterator[tuple[bool, Tensor]]:
    """Arguments with one entry for each row: whole-number targets first, weights last."""
    flat: list[tuple[int, bool, Tensor]] = []
    for position, (key, value) in enumerate(arguments.items()):
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if position and isinstance(one, Tensor) and one.dim() and len(one) == rows:
                is_weight = "weight" in key or "avg" in key
                order = 2 if is_weight else int(one.is_floating_point())
                flat.append((order, is_weight, one))
    for _, is_weight, one in sorted(flat, key=lambda entry: entry[0]):
        yield is_weight, one


def _join(first: Tensor, second: Tensor, conflict: int, *, is_weight: bool) -> Tensor:
    """The first argument that names one object decides; another target may not disagree."""
    joined = torch.where(is_object(first) | (first == BACKGROUND), first, second)
    joined = torch.where((second == NONE) & ~is_object(first), first, joined)
    if is_weight:
        return torch.where(first == NONE, NONE, joined)
    differ = is_object(first) & is_object(second) & (first != second)
    return torch.where(differ, conflict, joined)


def check_rows(name: str, arguments: Mapping[str, Any], rows: MarkedRows, witness: Witness) -> None:
    """Hold the class targets of a call against the objects of its rows.

    Raises:
        FpnProbeError: If one disagrees.
    """
    prediction, marks = rows.prediction, rows.marks
    targets = [t for is_weight, t in _targets(arguments, len(prediction)) if not is_weight]
    if bool((marks == NONE).all()) and targets:
        # Nothing of an object reached this call: then its target is one and the same value.
        target = targets[0].reshape(-1)
        witness.check_background(name, target, torch.full_like(target, NONE, dtype=torch.int32))
    if marks.dim() != 1 or bool((marks == BACKGROUND).all()):
        witness.rows[name] += int((marks >= 0).sum())
        if marks.dim() > 1 and targets and targets[0].shape == marks.shape:
            witness.check_channels(name, targets[0], marks)
        return
    columns = prediction.shape[-1] if prediction.dim() == 2 else 1
    for target in targets:
        if target.dim() == 1 and not target.is_floating_point() and target.dtype != torch.bool:
            witness.check_classes(name, target, marks, columns=columns)
            return
        if target.dim() == 2 and target.shape == prediction.shape:
            if not witness.check_boxes(name, target, marks):
                witness.check_table(name, target, marks)
            else:
                witness.rows[name] += int((marks >= 0).sum())
            return
    witness.rows[name] += int((marks >= 0).sum())
