"""Indices by which the rows of a matching are summed for every resample, computed once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fpnprobe.evaluation.ground_truth import Bools, Ints
from fpnprobe.evaluation.matching.greedy import HIT, IGNORED, Matches

_ROWS = 1500  # hits in a block, about; one category is never split


@dataclass(frozen=True, slots=True)
class Block:
    """Some categories under one area range, as rows of images whose counts are to be summed.

    `hits` are (threshold, true positive) in order; `first` is the row where each segment, a
    (threshold, category), begins, `segment` a row's segment, `threshold` a segment's threshold,
    `kind` a row's category within the block. `base` are detections that count at every threshold,
    summed between `base_starts`; `extra` are (threshold, detection) that count at some only. What
    is counted up to a hit lies between the running sums' rows `*_before` and `*_to`.
    """

    area: int
    objects: Ints
    object_starts: Ints
    hits: Ints
    hits_before: Ints
    first: Ints
    segment: Ints
    threshold: Ints
    kind: Ints
    base: Ints
    base_starts: Ints
    base_to: Ints
    base_before: Ints
    extra: Ints
    extra_to: Ints
    extra_before: Ints


def blocks_of(matches: Matches) -> list[Block]:
    """All blocks of a matching; categories without objects in a range have none there."""
    return [
        _index_block(matches, area, kinds)
        for area in range(len(matches.counts))
        for kinds in _group_categories(matches, area)
    ]


def _group_categories(matches: Matches, area: int) -> Iterator[Ints]:
    counted = matches.object_category[matches.counts[area]]
    objects = np.bincount(counted, minlength=matches.categories)
    hits = (matches.outcome[area] == HIT).sum(axis=0)
    rows = np.bincount(matches.category, hits, minlength=matches.categories)
    kinds = np.flatnonzero(objects)
    if len(kinds):
        number = np.cumsum(rows[kinds]) // _ROWS
        yield from np.split(kinds, np.flatnonzero(np.diff(number)) + 1)


def _index_block(matches: Matches, area: int, kinds: Ints) -> Block:
    objects = np.flatnonzero(matches.counts[area] & np.isin(matches.object_category, kinds))
    objects = objects[np.argsort(matches.object_category[objects], kind="stable")]
    low = np.searchsorted(matches.category, kinds[0], side="left")
    high = np.searchsorted(matches.category, kinds[-1], side="right")
    outcome = matches.outcome[area, :, low:high]
    category, image = matches.category[low:high], matches.image[low:high]
    begins = np.searchsorted(category, kinds, side="left")
    threshold, d = np.nonzero(outcome == HIT)
    kind = np.searchsorted(kinds, category[d])
    first = np.flatnonzero(np.diff(threshold * len(kinds) + kind, prepend=-1))
    segment = np.repeat(np.arange(len(first)), np.diff(first, append=len(d)))
    counted: Bools = outcome != IGNORED
    always = counted.all(axis=0)
    base = np.flatnonzero(always & np.isin(category, kinds))
    cuts, base_to, base_before = _cut_base(base, d, begins[kind])
    extra_threshold, extra = np.nonzero(counted & ~always)
    width = high - low + 1
    extra_key = extra_threshold * width + extra
    return Block(
        area=area,
        objects=matches.object_image[objects],
        object_starts=np.searchsorted(matches.object_category[objects], kinds, side="left"),
        hits=image[d],
        hits_before=first[segment],
        first=first,
        segment=segment,
        threshold=threshold[first],
        kind=kind,
        base=image[base[: cuts[-1]]],
        base_starts=cuts[:-1],
        base_to=base_to,
        base_before=base_before,
        extra=image[extra],
        extra_to=np.searchsorted(extra_key, threshold * width + d, side="right"),
        extra_before=np.searchsorted(extra_key, threshold * width + begins[kind], side="left"),
    )


def _cut_base(base: Ints, hits: Ints, begins: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the rows at which the base's sums are needed, and those of each hit among them."""
    to = np.searchsorted(base, hits, side="right")
    before = np.searchsorted(base, begins, side="left")
    cuts = np.unique(np.concatenate([[0], to, before]))
    return cuts, np.searchsorted(cuts, to), np.searchsorted(cuts, before)
