"""Loss functions that are one operator: their rows meet their targets and are joined at once."""

import torch
from torch import Tensor

from fpnprobe.probing.provenance.marks import BACKGROUND, NONE, TAKEN
from fpnprobe.probing.provenance.operation import Cut, Operation
from fpnprobe.probing.provenance.operators.pointwise import join_in_graph
from fpnprobe.probing.provenance.rules import rule

_NO_REDUCTION = 0
# Position of `reduction` among the operator's arguments.
_REDUCTION = {
    "nll_loss_forward": 3,
    "nll_loss2d_forward": 3,
    "binary_cross_entropy": 3,
    "binary_cross_entropy_with_logits": 4,
    "mse_loss": 2,
    "smooth_l1_loss": 2,
    "huber_loss": 2,
    "soft_margin_loss": 2,
}


@rule("nll_loss_forward", "nll_loss2d_forward")
def classify(operation: Operation) -> None:
    """Cross entropy with a class number for each row: `(N, C)` and `(N,)`, or `(B, C, H, W)`."""
    scores, target = operation.args[:2]
    if not operation.in_graph:
        return
    dim = 0 if scores.dim() == 1 else 1
    met = operation.marks(target)
    own = operation.marks(scores).select(dim, 0)
    # What met its target before, through a loss function that is known by name, knows better.
    labels = torch.where(own == NONE, torch.where(met == NONE, BACKGROUND, met), own)
    _finish(operation, scores, labels.unsqueeze(dim).expand(scores.shape), labels)


@rule("binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "smooth_l1_loss")
@rule("huber_loss", "soft_margin_loss")
def compare(operation: Operation) -> None:
    """Losses of one element and its target."""
    if not operation.in_graph:
        return
    operands = [t for t in operation.args[:3] if isinstance(t, Tensor)]
    labels = join_in_graph(operation, operands, operation.outputs()[0])
    rows = next(t for t in operands if t.requires_grad)
    labels = torch.where(labels == NONE, BACKGROUND, labels).expand(rows.shape)
    _finish(operation, rows, labels, labels)


def _finish(operation: Operation, rows: Tensor, labels: Tensor, part_labels: Tensor) -> None:
    position = _REDUCTION[operation.name]
    reduction = operation.argument(position, "reduction", 1)
    out = operation.outputs()[0]
    if reduction == _NO_REDUCTION:
        operation.give(out, part_labels)
        return
    arguments = list(operation.args)
    named = dict(operation.kwargs)
    if position < len(arguments):
        arguments[position] = _NO_REDUCTION
    else:
        named["reduction"] = _NO_REDUCTION
    with torch.no_grad():
        parts = operation.function(*arguments, **named)
    parts = parts[0] if isinstance(parts, tuple) else parts
    whole = parts.sum()
    factor = torch.where(whole == 0, torch.zeros_like(whole), out.detach() / whole)
    operation.cuts.append(
        Cut(rows, labels.clone(), out, operation.name, parts * factor, part_labels.clone())
    )
    operation.give(out, torch.tensor(TAKEN, dtype=torch.int32, device=out.device))
