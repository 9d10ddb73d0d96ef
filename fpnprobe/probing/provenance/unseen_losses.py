"""Losses that are computed beside torch's dispatcher, as a compiled extension does."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from fpnprobe.probing.provenance.cuts import CutRecord, Scope, edge_of
from fpnprobe.probing.provenance.marks import NONE
from fpnprobe.probing.provenance.memory import MarkMemory
from fpnprobe.probing.provenance.operation import Cut, unobserved


class UnseenLosses:
    """Labels what no operator tells of, from the prediction that a loss was given.

    Args:
        memory: Marks of tensors.
        record: Where cuts are noted.
    """

    def __init__(self, memory: MarkMemory, record: CutRecord) -> None:
        self._memory, self._record = memory, record
        # prediction and labels of the loss that is computed now
        self._current: tuple[Tensor, Tensor] | None = None

    @contextmanager
    def around(self, rows: Tensor, labels: Tensor, scope: Scope) -> Iterator[list[Tensor]]:
        """Inside, a loss is computed; rows that no operator tells of are taken where it ends.

        What an unseen loss makes of each element has the element's label; where it joins them, too,
        its rows are cut between the prediction and what it returned.

        Args:
            rows: Prediction that the loss is given.
            labels: Label of each of its elements.
            scope: Name and term of the loss.

        Yields:
            An empty list, to which the caller appends what the loss returned.
        """
        cuts, returned = self._record.count, list[Tensor]()
        self._current = rows, labels
        try:
            yield returned
        finally:
            self._current = None
        if self._record.count > cuts:
            return
        for result in returned:
            with unobserved():
                is_labeled = bool((self._memory.read(result) != NONE).any())
            if result.grad_fn is not None and result is not rows and not is_labeled:
                cut = Cut(rows, labels.clone(), result, scope[0])
                self._record.add(cut, edge_of(rows), scope)

    def label(self, inputs: list[Tensor]) -> None:
        """Label what a function of its own kind has made of each element of the prediction."""
        if self._current is None:
            return
        rows, labels = self._current
        for tensor in inputs:
            if (
                isinstance(tensor.grad_fn, torch.autograd.function.BackwardCFunction)
                and tensor.shape == rows.shape
                and not self._memory.knows(tensor)
                and any(edge == edge_of(rows) for edge in tensor.grad_fn.next_functions)
            ):
                with unobserved():
                    self._memory.write(tensor, labels.expand(tensor.shape))
