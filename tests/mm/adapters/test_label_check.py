"""The row labels have a witness of their own, and it does not sleep."""

from typing import Any

import pytest
import torch
from mmdet.models.dense_heads import AnchorHead
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters import label_check as module
from fpnprobe.mm.adapters import observe
from fpnprobe.mm.adapters.heads.fsaf import FSAFAdapter
from fpnprobe.mm.adapters.objects import Objects
from fpnprobe.testing import assert_no_hooks_left
from tests.mm.adapters.frameworks import BUCKETS, CONFIGS, loss_of, tiny
from tests.mm.adapters.test_brute_force import batch, pytestmark  # noqa: F401


def wrong_numbers(self: Objects, image: int, indices: Tensor) -> Tensor:
    """Every object is taken for its neighbor."""
    count = self.first[image + 1] - self.first[image]
    return (indices.long() + 1) % max(count, 1) + self.first[image]


@pytest.mark.parametrize("name", [n for n in CONFIGS if n not in ("free_anchor", "fsaf")])
def test_a_row_of_another_object_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = tiny(name)
    data = batch(detector)
    monkeypatch.setattr(Objects, "numbers", wrong_numbers)
    with (
        pytest.raises(FpnProbeError, match="have a class target that is not their object's"),
        observe(detector, BUCKETS),
    ):
        loss_of(detector, data)
    assert_no_hooks_left(detector)


def test_a_bag_of_another_object_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = tiny("free_anchor")
    data = batch(detector)
    original = Objects.of_image
    monkeypatch.setattr(Objects, "of_image", lambda self, image: original(self, image).flip(0))
    with (
        pytest.raises(FpnProbeError, match="not in the order of its annotations"),
        observe(detector, BUCKETS),
    ):
        loss_of(detector, data)


def test_a_dropped_positive_that_kept_its_object_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FSAF's anchors whose object chose another level are background, and not the other way."""
    detector = tiny("fsaf")
    data = batch(detector)
    original = FSAFAdapter._around_choice

    def all_kept(self: FSAFAdapter, call: Any, *args: Any, **more: Any) -> Any:
        def claims(*inner: Any) -> Any:
            found = call(*inner)
            return found[0], found[1], ~found[2]

        return original(self, claims, *args, **more)

    monkeypatch.setattr(FSAFAdapter, "_around_choice", all_kept)
    with (
        pytest.raises(FpnProbeError, match="a level that their object did not choose"),
        observe(detector, BUCKETS),
    ):
        loss_of(detector, data)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_classification_and_mask_call_was_compared(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each object has a class of its own, so a comparison of classes is one of objects."""
    seen: list[tuple[str, int]] = []
    original = module.check_classes

    def counted(name: str, target: Tensor, expected: Tensor, **more: Any) -> None:
        seen.append((name, int((expected >= 0).sum())))
        original(name, target, expected, **more)

    for user in ("observing.recorder", "heads.fsaf"):
        monkeypatch.setattr(f"fpnprobe.mm.adapters.{user}.check_classes", counted)
    detector = tiny(name)
    data = batch(detector)
    with observe(detector, BUCKETS) as found:
        loss_of(detector, data)
    called = [
        call.name
        for call in found.partition.calls
        if call.name.endswith(("loss_cls", "loss_mask")) and call.labels.numel()
    ]
    assert sorted(called) == sorted(path for path, _ in seen)
    if name != "free_anchor":
        assert sum(n for _, n in seen) >= 14


@pytest.mark.parametrize("name", ["faster_rcnn", "mask_rcnn", "cascade_rcnn", "swin", "dc5"])
def test_rows_of_the_rpn_are_of_the_objects_whose_boxes_they_regress(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = tiny(name)
    data = batch(detector)
    objects = Objects.of(data["data_samples"], BUCKETS)
    expected: list[Tensor] = []
    original = AnchorHead.loss_by_feat_single

    def spy(head: Any, scores: Tensor, boxes: Tensor, *targets: Any, **more: Any) -> Any:
        anchors, labels, _, regressed = targets[:4]
        for image, sample in enumerate(data["data_samples"]):
            truth = sample.gt_instances.bboxes
            decoded = head.bbox_coder.decode(anchors[image], regressed[image])
            nearest = (decoded[:, None] - truth[None]).abs().sum(-1).argmin(1)
            numbers = torch.where(labels[image] == 0, nearest + objects.first[image], -1)
            expected.append(objects.labels(numbers, 3))
        return original(head, scores, boxes, *targets, **more)

    monkeypatch.setattr(AnchorHead, "loss_by_feat_single", spy)
    with observe(detector, BUCKETS) as seen:
        loss_of(detector, data)
    found = [call.labels for call in seen.partition.calls if call.name == "rpn_head.loss_cls"]
    assert torch.equal(torch.cat(found), torch.cat(expected))
    assert int((torch.cat(found) < 3).sum()) > 10
