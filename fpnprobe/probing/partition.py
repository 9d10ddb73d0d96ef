"""The training loss as rows, each with the bucket of its object: what makes the split exact.

Loss calls k = 1..K map rows of predictions x_k to o_k, and L = F(o_1, ..., o_K). With the outer
cotangent u_k = dL/do_k, read from the training graph, and the row cotangent
c_k = (do_k/dx_k)^T u_k, the gradient of bucket b at any tensor C is

    g_b(C) = sum_k (dx_k/dC)^T (1[s(r) = b] c_k),        sum_b g_b = dL/dC,

exactly, because every row r has one label s(r), whatever the loss formula is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.calls import JOINED, LossCall, RowCotangents, row_mask
from fpnprobe.probing.cotangents import collect_cotangents
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, check_buckets, names


@dataclass(slots=True)
class LossPartition:
    """The loss of one forward pass, split into labeled rows.

    Attributes:
        buckets: Scale buckets, in order; `labels` adds `background`.
        calls: Loss calls of this forward pass.
        terms: Loss terms in order of first appearance; a model may announce them beforehand.
        levels: Pyramid levels that are announced; those of the rows need not be.
        objects: Annotated objects in the batch, by bucket; -1 where nobody counted.
        areas: Annotation area of each object of the batch, px^2, or None.
        idle: Background rows without a gradient, by call; known once there are cotangents.
        has_rest: Whether what reaches the loss beside the calls is background (term `rest`), and
            not missing.
        rest_value: Loss that reaches the stages beside all calls; None where none does. Known once
            there are cotangents.

    The loss of three objects and one background row, split by hand:

    >>> x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    >>> rows = x**2
    >>> partition = LossPartition()
    >>> partition.add_rows(rows, torch.tensor([0, 0, 2, 3]))
    >>> cotangents, values = partition.cotangents(rows.sum() / 2)
    >>> dict(zip(partition.labels, values.tolist()))
    {'small': 2.5, 'medium': 0.0, 'large': 4.5, 'background': 8.0}
    """

    buckets: tuple[ScaleBucket, ...] = COCO_BUCKETS
    calls: list[LossCall] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    areas: Tensor | None = None
    idle: list[tuple[LossCall, Tensor]] = field(default_factory=list)
    has_rest: bool = False
    rest_value: float | None = None

    def __post_init__(self) -> None:
        self.buckets = check_buckets(self.buckets)
        self.objects = self.objects or [-1] * len(self.buckets)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels: the buckets, then `background`."""
        return names(self.buckets)

    def add(self, call: LossCall) -> None:
        """Take a loss call.

        Raises:
            FpnProbeError: If rows and labels do not match.
        """
        shape = call.rows.shape or (1,)
        if not call.labels.dim() or call.labels.shape != shape[: call.labels.dim()]:
            raise FpnProbeError(
                f"{call.name}: {tuple(call.rows.shape)} rows but {tuple(call.labels.shape)} "
                "labels; every row of the loss needs one label"
            )
        if call.labels.numel():
            low, high = call.labels.min(), call.labels.max()
            if low < (JOINED if call.edges else 0) or high > len(self.buckets):
                raise FpnProbeError(
                    f"{call.name}: labels {int(low)}..{int(high)}, expected 0.."
                    f"{len(self.buckets)}: {', '.join(self.labels)}"
                )
        if call.term not in self.terms:
            self.terms.append(call.term)
        self.calls.append(call)

    def add_rows(
        self,
        rows: Tensor,
        labels: Tensor,
        *,
        term: str = "loss",
        levels: Tensor | None = None,
    ) -> None:
        """Take an unreduced loss `(R, ...)` and the label of each row `(R,)`."""
        self.add(LossCall(term, term, rows, rows, labels.to(rows.device), levels=levels))

    def add_bucket(self, bucket: str, loss: Tensor) -> None:
        """Take the whole loss of one bucket, or of `background`, as a scalar.

        Raises:
            FpnProbeError: If the partition has no such label, or the loss is no scalar.
        """
        if bucket not in self.labels:
            raise FpnProbeError(
                f"no bucket {bucket!r} in this partition; expected one of {', '.join(self.labels)}"
            )
        if loss.numel() != 1:
            raise FpnProbeError(
                f"the loss of {bucket!r} has shape {tuple(loss.shape)}, expected a scalar; "
                "give unreduced rows with one label each instead"
            )
        label = torch.full((1,), self.labels.index(bucket), device=loss.device)
        self.add(LossCall(f"loss of {bucket}", "loss", loss, loss, label))

    def count(self, term: str = "all") -> list[int]:
        """Rows with each label, of one term, one level (`L3`) or of all.

        Once there are cotangents, background counts the rows that carry loss: not the anchors that
        were ignored or not sampled.
        """
        total = [0] * len(self.labels)
        for call, idle in self.idle:
            total[-1] -= int((idle & row_mask(call, term)).sum())
        for call in self.calls:
            labeled = call.labels[row_mask(call, term) & (call.labels >= 0)]
            for label, n in enumerate(torch.bincount(labeled, minlength=len(total)).tolist()):
                total[label] += n
        return total

    def auxiliary_losses(self) -> list[Tensor]:
        """Losses of auxiliary heads: of the terms `aux2`, `aux3`, ..."""
        return [call.loss for call in self.calls if call.term.startswith("aux")]

    def level_terms(self) -> list[str]:
        """Announced levels and those that rows came from, as terms `L2`, `L3`, ..."""
        levels = set(self.levels)
        for call in self.calls:
            if call.levels is not None:
                levels.update(set(call.levels.tolist()))
        return [f"L{level}" for level in sorted(levels) if level >= 0]

    def cotangents(self, loss: Tensor, *, scale: float = 1.0) -> tuple[list[RowCotangents], Tensor]:
        """Row cotangents c_k, and the part L_b of the loss for each label, `(labels,)` float64.

        Args:
            loss: The scalar training loss; its graph is kept.
            scale: Factor on u_k, such as the loss scale of mixed precision. Values are without it.
        """
        if not loss.requires_grad:
            return [], torch.zeros(len(self.labels), dtype=torch.float64, device=loss.device)
        collected = collect_cotangents(
            loss, self.calls, labels=len(self.labels), scale=scale, has_rest=self.has_rest
        )
        for call in collected.unrelated:
            self.calls.remove(call)
        self.rest_value = collected.rest_value
        self.idle = self._idle_rows(collected.rows)
        return collected.rows, collected.values

    def _idle_rows(self, cotangents: Sequence[RowCotangents]) -> list[tuple[LossCall, Tensor]]:
        """Background rows of each call whose cotangent is zero, `(R,)` bool."""
        carries = {
            id(row.call): row.cotangent.detach().reshape(*row.call.labels.shape, -1).ne(0).any(-1)
            for row in cotangents
        }
        background = len(self.buckets)
        return [
            (call, (call.labels == background) & ~carries.get(id(call), call.labels < 0))
            for call in self.calls
            if call.labels.numel()
        ]

    def forget(self) -> None:
        """Forget the loss calls, and with them the graph."""
        self.calls.clear()
        self.idle.clear()

    def absent(self, loss: Tensor) -> LossCall | None:
        """The first loss call with labeled rows that the loss does not depend on, or None."""
        calls = [call for call in self.calls if call.labels.numel() and not call.edges]
        tracked = [call for call in calls if call.loss.requires_grad]
        outer: tuple[Tensor | None, ...] = ()
        if tracked and loss.requires_grad:
            outer = torch.autograd.grad(
                loss, [call.loss for call in tracked], retain_graph=True, allow_unused=True
            )
        ids_in_loss = {id(c) for c, u in zip(tracked, outer, strict=False) if u is not None}
        empty = (c for c in calls if id(c) not in ids_in_loss and bool(c.loss.detach().ne(0).any()))
        return next(empty, None)
