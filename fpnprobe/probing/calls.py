"""A loss call split into rows, and boolean masks that select the rows of one bucket or term."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fpnprobe.probing.graph import Edge

JOINED = -3  # label of rows that were joined from rows of calls further from the loss


@dataclass(frozen=True, slots=True, eq=False)
class LossCall:
    """One call of a loss function.

    Attributes:
        name: Where it happened, for messages.
        term: Loss term, such as `roi`.
        rows: Predictions x_k, `(R, ...)`; or the unreduced loss itself.
        loss: Result o_k of any shape; the same tensor as `rows` where those are unreduced losses.
        labels: Label of each row, `(R,)` int64: index of its bucket, `len(buckets)` = background.
            Where a row is more than one object's, one label for each element: a shape that begins
            as that of `rows`; -1 is part of another call, -2 belongs to no single object, -3 was
            joined from rows of calls further from the loss.
        values: Part of o_k that belongs to each label, `(labels,)`; None where `rows` is `loss`.
        levels: Pyramid level that each row's loss came from, `(R,)` int64, or None.
        edges: Graph edges from o_k to x_k where c_k is what flows over them, and not
            (do_k/dx_k)^T u_k: the rows may reach the loss in another way as well.
        linear: Whether the value of a label is the sum of its rows times their cotangents.
        objects: Number of each row's object in the batch, -1 for background, or None.
        refusal: What to say where rows of no single object carry loss; `{row}` is the first one.
    """

    name: str
    term: str
    rows: Tensor
    loss: Tensor
    labels: Tensor
    values: Tensor | None = None
    levels: Tensor | None = None
    edges: tuple[Edge, ...] = ()
    linear: bool = False
    objects: Tensor | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RowCotangents:
    """The rows of one loss call and c_k; masking it by label gives one bucket's start.

    Attributes:
        call: The loss call.
        cotangent: c_k, in the shape of its rows.
        closed: Edges that a pass from these rows must not go over, because what flows there is
            part of other calls.
    """

    call: LossCall
    cotangent: Tensor
    closed: tuple[Edge, ...] = ()


def row_mask(call: LossCall, term: str) -> Tensor:
    """Rows of a call that belong to a term (`all`, a loss term, or a level), as its labels."""
    if term in ("all", call.term):
        return torch.ones_like(call.labels, dtype=torch.bool)
    if call.levels is not None and is_level(term):
        return call.levels == int(term[1:])
    return torch.zeros_like(call.labels, dtype=torch.bool)


def is_level(term: str) -> bool:
    """Tell whether a term names a pyramid level: `L2`, `L3`, ...

    >>> is_level("L3"), is_level("loss")
    (True, False)
    """
    return term[:1] == "L" and term[1:].isdigit()


def masked(
    cotangents: Sequence[RowCotangents], label: int, term: str = "all"
) -> tuple[list[Tensor], list[Tensor]]:
    """Rows and cotangents 1[s(r) = label] c_k of the calls that have such rows."""
    rows, starts = [], []
    for row_cotangents in cotangents:
        mask = (row_cotangents.call.labels == label) & row_mask(row_cotangents.call, term)
        if bool(mask.any()):
            trailing = row_cotangents.cotangent.dim() - mask.dim()
            shape = (*mask.shape, *[1] * trailing) if row_cotangents.cotangent.dim() else ()
            rows.append(row_cotangents.call.rows)
            # Not a product: infinite cotangents of half precision times zero would be NaN.
            zero = torch.zeros(
                (), dtype=row_cotangents.cotangent.dtype, device=row_cotangents.cotangent.device
            )
            starts.append(torch.where(mask.reshape(shape), row_cotangents.cotangent, zero))
    return rows, starts
