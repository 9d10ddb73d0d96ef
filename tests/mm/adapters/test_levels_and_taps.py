"""The pyramid level and the loss term of every row; frozen stages; taps."""

import math
from typing import Any

import pytest
import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from torch import Tensor

from fpnprobe.mm.adapters import observe
from fpnprobe.mm.detectors.stock import stock_model
from fpnprobe.probing import Probe
from tests.mm.adapters.frameworks import BUCKETS, CLASSES, CONFIGS, SIZE, loss_of, tiny
from tests.mm.adapters.test_brute_force import batch
from tests.mm.adapters.test_brute_force import pytestmark as pytestmark

TERMS = {
    "retinanet": ["dense"],
    "faster_rcnn": ["rpn", "roi"],
    "mask_rcnn": ["rpn", "roi", "mask"],
    "cascade_rcnn": ["rpn", "roi_s0", "roi_s1", "roi_s2"],
    "cascade_mask_rcnn": ["rpn", "roi_s0", "roi_s1", "roi_s2", "mask"],
    "sparse_rcnn": [f"roi_s{i}" for i in range(6)],
}


def pyramid_levels(name: str) -> list[int]:
    """List the levels that a config's neck puts out, by the config alone; DC5 has no neck."""
    neck = stock_model(CONFIGS[name], num_classes=CLASSES, weights=None).get("neck")
    if neck is None:
        return []
    lowest = 2 + neck.get("start_level", 0)
    return list(range(lowest, lowest + neck.num_outs))


@pytest.mark.parametrize("name", CONFIGS)
def test_terms_levels_and_taps(name: str) -> None:
    detector = tiny(name)
    with observe(detector, BUCKETS) as seen:
        loss_of(detector, batch(detector))
    partition = seen.partition
    if name in TERMS:
        assert partition.terms == TERMS[name]
    assert {call.term for call in partition.calls} == set(partition.terms)
    levels = pyramid_levels(name)
    taps = [tap.name for tap in seen.taps()]
    assert taps == ["C2", "C3", "C4", "C5", *(f"P{level}" for level in levels)]
    if name == "free_anchor":  # a bag mixes levels
        assert all(call.levels is None for call in partition.calls)
        return
    terms = partition.level_terms()
    assert terms == [f"L{level}" for level in levels or [5]]
    by_level = torch.tensor([partition.count(term) for term in terms]).sum(0)
    assert by_level.tolist() == partition.count()
    by_term = torch.tensor([partition.count(term) for term in partition.terms]).sum(0)
    assert by_term.tolist() == partition.count()


@pytest.mark.parametrize("name", ["retinanet", "fcos", "atss", "fsaf"])
def test_rows_of_a_level_are_its_places(name: str) -> None:
    detector = tiny(name)
    with observe(detector, BUCKETS) as seen:
        loss_of(detector, batch(detector))
    anchors = 9 if name == "retinanet" else 1
    for level in (3, 4, 5, 6, 7):
        places = 2 * anchors * math.ceil(SIZE / 2**level) ** 2
        rows = [
            int((call.levels == level).sum())
            for call in seen.partition.calls
            if call.name == "bbox_head.loss_cls" and call.levels is not None
        ]
        assert sum(rows) == places


def test_rows_of_a_box_head_are_at_the_level_that_their_size_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = tiny("faster_rcnn")
    boxes: list[Tensor] = []
    original = BBoxHead.loss_and_target

    def spy(head: Any, *args: Any, **more: Any) -> Any:
        boxes.append(more["rois"][:, 1:])
        return original(head, *args, **more)

    monkeypatch.setattr(BBoxHead, "loss_and_target", spy)
    with observe(detector, BUCKETS) as seen:
        loss_of(detector, batch(detector))
    (call,) = [c for c in seen.partition.calls if c.name == "roi_head.bbox_head.loss_cls"]
    scale = ((boxes[0][:, 2] - boxes[0][:, 0]) * (boxes[0][:, 3] - boxes[0][:, 1])).sqrt()
    expected = (torch.floor(torch.log2(scale / 56 + 1e-6)).clamp(0, 3) + 2).long()
    assert call.levels is not None and torch.equal(call.levels, expected)


def test_the_stage_that_mmdet_freezes_is_frozen() -> None:
    detector = tiny("retinanet")
    with observe(detector, BUCKETS) as seen:
        loss = loss_of(detector, batch(detector))
    sample = Probe("full").measure(loss, seen.partition, seen.taps())
    states = {(r.tap, r.kind): {r.state} for r in sample.records}
    for record in sample.records:
        states[record.tap, record.kind].add(record.state)
    assert states["C2", "parameter"] == {"frozen"}
    assert states["C2", "activation"] == {"would_arrive"}
    assert states["C3", "activation"] == states["C3", "parameter"] == {"measured"}


def test_without_a_pyramid_nothing_is_direct_before_the_last_stage() -> None:
    detector = tiny("dc5", frozen_stages=-1)
    with observe(detector, BUCKETS) as seen:
        loss = loss_of(detector, batch(detector))
    sample = Probe().measure(loss, seen.partition, seen.taps())
    l2 = {(r.tap, r.route): r.l2 for r in sample.records if r.bucket == "all"}
    assert [l2[f"C{i}", "direct"] for i in (2, 3, 4)] == [0, 0, 0]
    assert (
        l2["C5", "direct"] == pytest.approx(l2["C5", "total"], rel=1e-6) and l2["C5", "total"] > 0
    )


def test_evaluation_is_not_observed_and_the_last_forward_pass_counts() -> None:
    detector = tiny("retinanet")
    data = batch(detector)
    with observe(detector, BUCKETS) as seen:
        loss_of(detector, data)
        first = len(seen.partition.calls)
        loss = loss_of(detector, data)
        assert len(seen.partition.calls) == first
    assert Probe().measure(loss, seen.partition, seen.taps()).residuals.worst < 1e-5
    assert seen.losses.keys() == {"loss_cls", "loss_bbox"}
    seen.release()
    assert not seen.partition.calls and not seen.losses
