"""The pyramid level that a row of a followed head comes from, told by its prediction's graph.

A head that computes its loss level by level has predictions of one level in each call. Where levels
are joined before the loss, its rows have no level; where boxes were pooled, they have that of the
pooling, if all of them are in the call.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from fpnprobe.mm.adapters.levels import Levels
from fpnprobe.probing.calls import LossCall
from fpnprobe.probing.graph import edges_into, source
from fpnprobe.probing.partition import LossPartition


def add_levels(partition: LossPartition, maps: Mapping[int, Tensor], levels: Levels) -> None:
    """Give the calls of a partition the levels of their rows, where they are known.

    Args:
        partition: The labeled rows of followed heads.
        maps: What the heads read, by its level.
        levels: Levels that boxes were pooled from.
    """
    targets = {source(m): str(level) for level, m in maps.items() if m.grad_fn is not None}
    stops = {node for node, _ in targets}
    for number, call in enumerate(partition.calls):
        if call.levels is None and call.rows.grad_fn is not None and call.labels.dim() == 1:
            reached = edges_into([call.rows.grad_fn], stops, targets)
            partition.calls[number] = replace(call, levels=_levels_of(call, list(reached), levels))


def _levels_of(call: LossCall, reached: list[str], levels: Levels) -> Tensor | None:
    if len(reached) == 1:
        return torch.full_like(call.labels, int(reached[0]))
    is_pooled = call.term.startswith(("roi", "mask"))
    pooled = levels.of_rois(call.name, len(call.labels)) if is_pooled else None
    return None if pooled is None else pooled.to(call.labels)
