"""Groups of loss rows that share the same gains, and the masks that select a group."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from fpnprobe.interventions.edges import Place
from fpnprobe.interventions.gains import Gain
from fpnprobe.probing.calls import RowCotangents

Rows = tuple[int, str]  # label, loss term
Factors: TypeAlias = dict[Place, float]


def groups(
    gains: Sequence[Gain],
    labels: Sequence[str],
    terms: Sequence[str],
    moving: Mapping[Place, Sequence[float]],
) -> tuple[Factors, list[tuple[Factors, frozenset[Rows]]]]:
    """Factors that act on all rows, and those of each group of rows that differs from them.

    Args:
        gains: Gains that act in this step.
        labels: Labels of the partition: the buckets, then background.
        terms: Loss terms.
        moving: Factor of each label at a (stage, route), set by a rule.

    >>> cut = Gain(("C2",), "direct", 0.0, bucket="small")
    >>> groups([cut], ["small", "large"], ["roi"], {})
    ({}, [({('C2', 'direct'): 0.0}, frozenset({(0, 'roi')}))])
    """
    base: Factors = {}
    for gain in gains:
        if gain.whole:
            _multiply_factors(base, gain)
    rows_by_factors: dict[tuple[tuple[Place, float], ...], set[Rows]] = defaultdict(set)
    for label, name in enumerate(labels):
        for term in terms:
            row_factors = dict(base)
            for gain in gains:
                if not gain.whole and gain.bucket in ("all", name) and gain.term in ("all", term):
                    _multiply_factors(row_factors, gain)
            for stage_route, factors in moving.items():
                row_factors[stage_route] = row_factors.get(stage_route, 1.0) * factors[label]
            if any(
                row_factors.get(stage_route, 1.0) != base.get(stage_route, 1.0)
                for stage_route in row_factors
            ):
                rows_by_factors[tuple(sorted(row_factors.items()))].add((label, term))
    return base, [(dict(items), frozenset(rows)) for items, rows in rows_by_factors.items()]


def _multiply_factors(factors: Factors, gain: Gain) -> None:
    for stage in gain.stages:
        stage_route = stage, gain.route
        factors[stage_route] = factors.get(stage_route, 1.0) * gain.gain


def may_ask(tensor: Tensor) -> bool:
    """Tell whether its values are at hand: asking another device would wait for all it has to do.

    There a group without rows is sent as zeros.
    """
    return tensor.device.type == "cpu"


def masked(
    cotangents: Sequence[RowCotangents], group: frozenset[Rows]
) -> tuple[list[Tensor], list[Tensor]]:
    """Collect the rows of the loss calls and their cotangents, zero outside of the group."""
    rows, masked_cotangents = [], []
    for row_cotangents in cotangents:
        labels = [label for label, term in group if term == row_cotangents.call.term]
        if not labels:
            continue
        mask = torch.stack([row_cotangents.call.labels == label for label in labels]).any(dim=0)
        if not may_ask(mask) or bool(mask.any()):
            c = row_cotangents.cotangent
            shape = (*mask.shape, *[1] * (c.dim() - mask.dim())) if c.dim() else ()
            rows.append(row_cotangents.call.rows)
            masked_cotangents.append(torch.where(mask.reshape(shape), c, torch.zeros_like(c)))
    return rows, masked_cotangents
