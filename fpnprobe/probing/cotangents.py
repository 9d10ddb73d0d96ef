"""Row cotangents of a loss: what each row of its calls adds to the gradient, and its value.

With loss calls o_k(x_k) and L = F(o_1, ..., o_K), the outer cotangent is u_k = dL/do_k and the row
cotangent c_k = (do_k/dx_k)^T u_k; see `fpnprobe.probing.partition`. Calls come in two kinds: whole
loss modules, whose output is a tensor of the graph, and edges of the graph at which rows were read
off (`fpnprobe.probing.passes.closing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.calls import LossCall, RowCotangents
from fpnprobe.probing.passes.closing import edges_of, reaches_leaf, read_edges

_ROUNDING = 1e-6  # a smaller share is rounding, as of terms that are zero for want of a positive
_ADDITIVE = 1e-3  # a larger share of the loss that is in no row's value means a nonlinear loss


@dataclass(frozen=True, slots=True)
class CollectedCotangents:
    """The cotangents of one loss.

    Attributes:
        rows: Row cotangents by call.
        values: Part of the loss for each label, `(labels,)` float64; NaN without such a split.
        rest_value: Loss that reaches the stages beside all calls; None where none does.
        unrelated: Calls that turn out to be no loss calls: other ones are nearer to the loss.
    """

    rows: list[RowCotangents]
    values: Tensor
    rest_value: float | None
    unrelated: list[LossCall]


def collect_cotangents(
    loss: Tensor, calls: Sequence[LossCall], *, labels: int, scale: float, has_rest: bool
) -> CollectedCotangents:
    """Read the cotangents of all calls from the training graph, which is kept.

    Args:
        loss: The scalar training loss, which requires a gradient.
        calls: Its loss calls.
        labels: Number of labels, the last of which is background.
        scale: Factor on u_k, such as the loss scale of mixed precision. Values are without it.
        has_rest: Whether what reaches the loss beside the calls is background.

    Raises:
        FpnProbeError: If rows of no single object carry loss.
    """
    values = torch.zeros(labels, dtype=torch.float64, device=loss.device)
    tracked = [call for call in calls if call.loss.requires_grad and call.labels.numel()]
    modules = [call for call in tracked if not call.edges]
    rows = _read_modules(loss, modules, values, scale) if modules else []
    edge_rows, unrelated = _read_edge_calls(
        loss, [call for call in tracked if call.edges], values, scale
    )
    rows += edge_rows
    rest_value = None
    if has_rest:
        beside = _read_beside(loss, tracked, labels - 1, scale)
        missing = loss.detach().to(values) - values.sum()
        size = loss.detach().abs()
        if beside and not bool(missing.abs() <= _ROUNDING * size):
            values[-1] += missing
            rest_value = float(missing)
        elif bool(missing.abs() > _ADDITIVE * size):
            values += float("nan")  # the loss is no sum of its rows: it has no such split
        rows += beside
    return CollectedCotangents(rows, values, rest_value, unrelated)


def _read_modules(
    loss: Tensor, calls: list[LossCall], values: Tensor, scale: float
) -> list[RowCotangents]:
    """Read the cotangents of loss modules; add the parts of their values to `values`."""
    outer = torch.autograd.grad(
        loss, [call.loss for call in calls], retain_graph=True, allow_unused=True
    )
    rows: list[RowCotangents] = []
    for call, u in zip(calls, outer, strict=True):
        if u is None:  # computed but not part of this loss
            continue
        if call.rows is call.loss:
            row_values = (u * call.loss.detach()).reshape(len(call.labels), -1)
            values.index_add_(0, call.labels, row_values.sum(1, dtype=torch.float64))
            rows.append(RowCotangents(call, u * scale))
            continue
        if call.values is None:  # nobody split it: then no value is known
            values.fill_(float("nan"))
        else:
            values += call.values.to(values) * u.sum().to(values)
        (c,) = torch.autograd.grad(call.loss, call.rows, u * scale, retain_graph=True)
        rows.append(RowCotangents(call, c))
    return rows


def _read_edge_calls(
    loss: Tensor, calls: list[LossCall], values: Tensor, scale: float
) -> tuple[list[RowCotangents], list[LossCall]]:
    """Read the cotangents at edges of the graph; return them, and calls that are no loss calls."""
    rows, unrelated, refusals = [], [], []
    for call, flow in zip(calls, read_edges(loss, calls), strict=True):
        is_joined = call.linear or call.values is not None
        if flow is None or not (is_joined or bool(flow.cotangent.any())):
            unrelated.append(call)
            continue
        refusals += _refuse_lost_rows(call, flow.cotangent)
        if call.linear:
            labels = call.labels
            row_values = (flow.cotangent * call.rows.detach()).reshape(labels.numel(), -1)
            has_label = labels.reshape(-1) >= 0
            values.index_add_(
                0, labels.reshape(-1)[has_label], row_values.sum(1, dtype=torch.float64)[has_label]
            )
        elif call.values is not None:
            values += call.values.to(values) * flow.outer.sum().to(values)
        else:
            values += float("nan")  # not a sum of its rows: this split has no value
        rows.append(RowCotangents(call, flow.cotangent * scale))
    if refusals:
        raise FpnProbeError("; also: ".join(dict.fromkeys(refusals)))
    return rows, unrelated


def _read_beside(
    loss: Tensor, calls: list[LossCall], background: int, scale: float
) -> list[RowCotangents]:
    """Take what flows beside all calls as one row of background that starts at the loss."""
    edges = tuple(edge for call in calls for edge in edges_of(call))
    if not reaches_leaf(loss, edges):
        return []
    label = torch.full((1,), background, device=loss.device)
    call = LossCall("rest", "rest", loss, loss, label)
    return [RowCotangents(call, torch.full_like(loss, scale), edges)]


def _refuse_lost_rows(call: LossCall, cotangent: Tensor) -> list[str]:
    """Write sentences about rows of no single object, where they carry loss; others do no harm."""
    flows = cotangent.detach().reshape(*call.labels.shape, -1).ne(0).any(-1)
    lost = (call.labels == -2) & flows
    return [call.refusal.format(row=int(lost.nonzero()[0][0]))] if bool(lost.any()) else []
