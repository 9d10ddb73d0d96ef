"""Which rows of the loss share the same gains."""

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
            _multiply(base, gain)
    found: dict[tuple[tuple[Place, float], ...], set[Rows]] = defaultdict(set)
    for label, name in enumerate(labels):
        for term in terms:
            own = dict(base)
            for gain in gains:
                if not gain.whole and gain.bucket in ("all", name) and gain.term in ("all", term):
                    _multiply(own, gain)
            for place, factors in moving.items():
                own[place] = own.get(place, 1.0) * factors[label]
            if any(own.get(place, 1.0) != base.get(place, 1.0) for place in own):
                found[tuple(sorted(own.items()))].add((label, term))
    return base, [(dict(own), frozenset(rows)) for own, rows in found.items()]


def _multiply(factors: Factors, gain: Gain) -> None:
    for stage in gain.stages:
        place = stage, gain.route
        factors[place] = factors.get(place, 1.0) * gain.gain


def masked(
    cotangents: Sequence[RowCotangents], wanted: frozenset[Rows]
) -> tuple[list[Tensor], list[Tensor]]:
    """Rows of the loss calls and their cotangents, zero outside of the wanted group."""
    rows, kept = [], []
    for found in cotangents:
        labels = [label for label, term in wanted if term == found.call.term]
        mask = torch.isin(found.call.labels, found.call.labels.new_tensor(labels))
        if bool(mask.any()):
            c = found.cotangent
            shape = (*mask.shape, *[1] * (c.dim() - mask.dim())) if c.dim() else ()
            rows.append(found.call.rows)
            kept.append(torch.where(mask.reshape(shape), c, torch.zeros_like(c)))
    return rows, kept
