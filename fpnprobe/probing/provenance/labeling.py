"""Turns the cuts of a forward pass into the labeled loss calls of a partition."""

import torch
from torch import Tensor

from fpnprobe.probing.calls import JOINED, LossCall
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.provenance.cuts import RowCut
from fpnprobe.probing.provenance.marks import TAKEN, Reasons, is_lost
from fpnprobe.probing.provenance.mode import Provenance
from fpnprobe.probing.provenance.objects import MarkedObjects
from fpnprobe.probing.provenance.operation import unobserved

_OF_ANOTHER = -1  # elements that an earlier call holds
_OF_NO_SINGLE_OBJECT = -2  # refused if they carry loss


def add_cuts(partition: LossPartition, provenance: Provenance, objects: MarkedObjects) -> None:
    """Add what provenance has labeled; what reaches the loss beside it is background.

    Rows of several objects are refused when their cotangents are known, if they carry loss: the
    message names loss, row and operator.
    """
    with unobserved():
        provenance.settle()
        for cut in provenance.cuts:
            partition.add(_as_call(cut, provenance, objects, len(partition.buckets)))
    partition.has_rest = True
    if "rest" not in partition.terms:
        partition.terms.append("rest")


def _as_call(
    found: RowCut, provenance: Provenance, objects: MarkedObjects, background: int
) -> LossCall:
    cut = found.cut
    refusal = ""
    lost = is_lost(cut.marks) & ~provenance.reasons.joins_predictions(cut.marks)
    if bool(lost.any()):
        reason = provenance.reasons.text(int(cut.marks[lost].reshape(-1)[0]))
        count = cut.marks.shape[0] if cut.marks.dim() else 1
        refusal = (
            f"{found.name}: row {{row}} of {count} belongs to no single object: {reason} (rows "
            f"{tuple(cut.rows.shape)}, joined by {cut.operator}); say whose its rows are with "
            "probe.mark_rows(target, numbers)"
        )
    labels = _shortest(_labels(cut.marks, objects, background, provenance.reasons))
    values = None
    if cut.parts is not None and cut.part_marks is not None:
        values = torch.zeros(background + 1, dtype=torch.float64, device=cut.parts.device)
        marks = cut.part_marks.expand(cut.parts.shape)
        kinds = _labels(marks, objects, background, provenance.reasons).reshape(-1)
        kept = kinds >= 0
        values.index_add_(0, kinds[kept], cut.parts.detach().double().reshape(-1)[kept])
    return LossCall(
        found.name,
        found.term,
        cut.rows,
        cut.result,
        labels,
        values,
        edges=found.edges,
        linear=cut.linear,
        refusal=refusal,
    )


def _labels(marks: Tensor, objects: MarkedObjects, background: int, reasons: Reasons) -> Tensor:
    labels = objects.labels(marks, background=background)
    labels = torch.where(marks == TAKEN, _OF_ANOTHER, labels)
    labels = torch.where(is_lost(marks), _OF_NO_SINGLE_OBJECT, labels)
    return torch.where(reasons.joins_predictions(marks), JOINED, labels)


def _shortest(labels: Tensor) -> Tensor:
    """One label for a row, where all its elements have the same."""
    labels = labels.reshape(1) if not labels.dim() else labels
    while labels.dim() > 1 and bool((labels == labels[..., :1]).all()):
        labels = labels[..., 0]
    return labels
