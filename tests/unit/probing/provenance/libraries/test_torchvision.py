"""torchvision's six detectors, with nothing but `watch` and `mark`."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.models.detection as zoo
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.ops import MultiScaleRoIAlign

import fpnprobe
from fpnprobe.probing.provenance import Witness
from fpnprobe.probing.sample import Sample
from tests.unit.probing.provenance.libraries.batch import (
    AREAS,
    BOXES,
    BUCKETS,
    LABELS,
    assert_followed,
    images,
    witness_of,
)


class Backbone(nn.Module):
    """Two stages, the second of which is the only level."""

    out_channels = 32  # torchvision normalizes 32 groups of them

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.layer2 = nn.Conv2d(8, 32, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.layer2(self.layer1(images).tanh()).tanh()
        return found


def torchvision_model(name: str) -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"min_size": 64, "max_size": 64}
    anchors = AnchorGenerator(((8, 16, 32),), ((0.5, 1.0, 2.0),))
    if name == "RetinaNet":
        return zoo.RetinaNet(Backbone(), 5, anchor_generator=anchors, **sizes)
    if name == "FCOS":
        single = AnchorGenerator(((8,),), ((1.0,),))
        return zoo.FCOS(Backbone(), 5, anchor_generator=single, **sizes)
    if name == "SSD":
        priors = DefaultBoxGenerator([[2]], scales=[0.25, 0.5])
        return zoo.ssd.SSD(Backbone(), priors, (64, 64), 5, head=ssd_head(priors))
    two_stage = {"rpn_anchor_generator": anchors, "box_roi_pool": roi_pool(7), **sizes}
    if name == "MaskRCNN":
        return zoo.MaskRCNN(Backbone(), 5, mask_roi_pool=roi_pool(14), **two_stage)
    if name == "KeypointRCNN":
        return zoo.KeypointRCNN(
            Backbone(), 5, keypoint_roi_pool=roi_pool(14), num_keypoints=3, **two_stage
        )
    return zoo.FasterRCNN(Backbone(), 5, **two_stage)


def ssd_head(priors: Any) -> Any:
    return zoo.ssd.SSDHead([Backbone.out_channels], priors.num_anchors_per_location(), 5)


def roi_pool(size: int) -> Any:
    return MultiScaleRoIAlign(["0"], size, 2)


def measure(
    model: nn.Module, compute: Callable[[], Tensor], **marks: Any
) -> tuple[Tensor, Sample, Witness]:
    taps = {
        "C2": model.get_submodule("backbone.layer1"),
        "C3": model.get_submodule("backbone.layer2"),
    }
    with fpnprobe.watch(model, taps=taps, mode="full") as probe:
        probe.mark(BOXES, LABELS, areas=AREAS, **marks)
        torch.manual_seed(3)
        loss = compute()
        witness = witness_of(probe)
        sample = probe.measure(loss)
    assert sample is not None
    return loss, sample, witness


SIX = ["RetinaNet", "FCOS", "SSD", "FasterRCNN", "MaskRCNN", "KeypointRCNN"]


@pytest.mark.parametrize("name", SIX)
def test_torchvision_needs_no_more_than_marks(name: str) -> None:
    model = torchvision_model(name).train()
    targets = [{"boxes": b, "labels": n} for b, n in zip(BOXES, LABELS, strict=True)]
    marks: dict[str, Any] = {}
    if name == "MaskRCNN":
        for one in targets:
            one["masks"] = torch.zeros(len(one["boxes"]), 64, 64, dtype=torch.uint8)
            for mask, (left, top, right, bottom) in zip(
                one["masks"], one["boxes"].long(), strict=True
            ):
                mask[top:bottom, left:right] = 1
        marks["masks"] = [one["masks"] for one in targets]
    if name == "KeypointRCNN":
        for one in targets:
            corners = one["boxes"].reshape(-1, 2, 2)
            points = torch.cat([corners, corners.mean(1, keepdim=True)], 1)  # (N, 3, 2)
            one["keypoints"] = torch.cat([points, torch.ones(len(points), 3, 1)], 2)
        marks["masks"] = [one["keypoints"] for one in targets]

    def compute() -> Tensor:
        return torch.stack(list(model(images(), targets).values())).sum()

    state = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    plain = compute()
    model.load_state_dict(state)
    loss, sample, witness = measure(model, compute, **marks)
    assert_followed(loss, plain, sample, witness, background=True)


def test_buckets_of_torchvision_are_those_of_a_split_by_hand() -> None:
    model = torchvision_model("RetinaNet").train()
    targets = [{"boxes": b, "labels": n} for b, n in zip(BOXES, LABELS, strict=True)]
    _, sample, _ = measure(
        model, lambda: torch.stack(list(model(images(), targets).values())).sum()
    )
    found = {r.bucket: r.l2 for r in sample.records if (r.tap, r.kind) == ("C2", "parameter")}
    original = model.head.compute_loss
    table = torch.tensor([[*BUCKETS[:2], 3], [*BUCKETS[2:], 3]])  # the last is background

    for number, bucket in enumerate(("small", "medium", "large", "background")):

        def only(
            given: Any, outputs: Any, anchors: Any, matched: list[Tensor], number: int = number
        ) -> Any:
            owner = [t[m.clamp(min=-1)] for t, m in zip(table, matched, strict=True)]
            kept = torch.stack([one == number for one in owner])[..., None]
            cut = {key: torch.where(kept, x, x.detach()) for key, x in outputs.items()}
            return original(given, cut, anchors, matched)

        model.head.compute_loss = only
        loss = torch.stack(list(model(images(), targets).values())).sum()
        gradients = torch.autograd.grad(loss, list(model.backbone.layer1.parameters()))
        by_hand = torch.cat([g.reshape(-1) for g in gradients]).norm()
        assert found[bucket] == pytest.approx(float(by_hand), rel=1e-4)
