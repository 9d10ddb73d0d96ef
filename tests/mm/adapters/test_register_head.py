"""A head of one's own: refused by name at first, exact with a small adapter."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mmdet.models.backbones import ResNet
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters import HeadAdapter, observe, register_head
from fpnprobe.mm.adapters import registry as module
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.probing import Probe
from fpnprobe.testing import (
    assert_no_hooks_left,
    assert_partition_sums_to_total,
    assert_routes_sum_to_total,
)
from tests.mm.adapters.frameworks import BUCKETS, CLASSES, loss_of, tiny
from tests.mm.adapters.test_brute_force import batch


class CountHead(nn.Module):
    """From a pooled map: the class of each object of an image, and how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.num_classes = CLASSES
        self.classify = nn.Linear(16, CLASSES)
        self.count = nn.Linear(16, 1)
        self.loss_cls = nn.CrossEntropyLoss(reduction="sum")
        self.loss_count = nn.SmoothL1Loss(reduction="mean")

    def loss_by_feat(self, pooled: Tensor, samples: Any) -> dict[str, Tensor]:
        image = torch.cat([torch.full((len(s.gt_instances),), i) for i, s in enumerate(samples)])
        labels = torch.cat([s.gt_instances.labels for s in samples])
        position = torch.arange(len(image))[:, None] / 10
        classes = self.loss_cls(self.classify(pooled[image] + position), labels)
        truth = torch.bincount(image, minlength=len(samples)).float()
        counts = self.loss_count(self.count(pooled).squeeze(1), truth)
        return {"loss_cls": classes / len(labels), "loss_count": counts}


class CountDetector(nn.Module):
    """A backbone and a `CountHead`, with what `observe` needs of a detector."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet(18, base_channels=2, stem_channels=2, num_stages=4)
        self.bbox_head = CountHead()

    def forward(self, inputs: Tensor, data_samples: Any, mode: str = "loss") -> dict[str, Tensor]:
        maps = self.backbone(inputs)
        found: dict[str, Tensor] = self.bbox_head.loss_by_feat(maps[-1].mean((2, 3)), data_samples)
        return found


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_ADAPTERS", dict(module._ADAPTERS))
    yield


def data() -> dict[str, Any]:
    made = generated_batch(size=64, objects=5, classes=CLASSES, bounds=(18**2, 64**2))
    inputs = torch.stack(made["inputs"]).float() / 255
    return {"inputs": inputs, "data_samples": made["data_samples"]}


def test_an_unknown_head_is_refused_by_name() -> None:
    detector = CountDetector()
    message = r"head CountHead \(bbox_head\) is not known: .*register_head\(CountHead\)"
    with pytest.raises(FpnProbeError, match=message), observe(detector, BUCKETS):
        detector(**data(), mode="loss")
    assert_no_hooks_left(detector)


class ExactCountHead(CountHead):
    """The same, with its rows shown where the loss is made."""

    def counted(self, rows: Tensor) -> Tensor:
        return rows

    def loss_by_feat(self, pooled: Tensor, samples: Any) -> dict[str, Tensor]:
        image = torch.cat([torch.full((len(s.gt_instances),), i) for i, s in enumerate(samples)])
        labels = torch.cat([s.gt_instances.labels for s in samples])
        position = torch.arange(len(image))[:, None] / 10
        classes = self.loss_cls(self.classify(pooled[image] + position), labels)
        truth = torch.bincount(image, minlength=len(samples)).float()
        rows = self.counted((self.count(pooled).squeeze(1) - truth).square())
        return {"loss_cls": classes / len(labels), "loss_count": rows.mean()}


class ExactCountAdapter(HeadAdapter):
    """Class losses inside `rows`, count losses by `show`."""

    def attach(self) -> None:
        self.wrap("loss_by_feat", self.around)
        self.wrap("counted", self.around_counts)

    def around(self, original: Any, pooled: Tensor, samples: Any) -> Any:
        with self.rows(torch.cat([self.objects.of_image(i) for i in range(len(samples))])):
            return original(pooled, samples)

    def around_counts(self, original: Any, rows: Tensor) -> Tensor:
        self.show("loss_count", rows, torch.full((len(rows),), -1))
        found: Tensor = original(rows)
        return found


@pytest.mark.usefixtures("empty_registry")
def test_a_head_that_shows_its_rows_is_exact() -> None:
    register_head(ExactCountHead)(ExactCountAdapter)
    detector = CountDetector()
    detector.bbox_head = ExactCountHead()
    detector.train()
    with observe(detector, BUCKETS) as seen:
        losses = detector(**data(), mode="loss")
    loss = sum(losses.values(), torch.zeros(()))
    sample = Probe("full").measure(loss, seen.partition, seen.taps())
    assert_partition_sums_to_total(sample)
    assert_routes_sum_to_total(sample)
    assert seen.partition.count() == [4, 4, 2, 2]
    assert [tap.name for tap in seen.taps()] == ["C2", "C3", "C4", "C5"]
    assert_no_hooks_left(detector)


@pytest.mark.usefixtures("empty_registry")
def test_rows_that_are_not_part_of_the_loss_leave_a_residual() -> None:
    class Muted(ExactCountAdapter):
        def attach(self) -> None:
            self.mute(self.head.loss_cls)
            super().attach()

    register_head(ExactCountHead)(Muted)
    detector = CountDetector()
    detector.bbox_head = ExactCountHead()
    with observe(detector, BUCKETS) as seen:
        losses = detector(**data(), mode="loss")
    loss = sum(losses.values(), torch.zeros(()))
    sample = Probe().measure(loss, seen.partition, seen.taps())
    assert sample.residuals.loss == pytest.approx(
        float((losses["loss_cls"] / loss).detach()), rel=1e-5
    )
    assert sample.residuals.activation > 1e-3


@pytest.mark.usefixtures("empty_registry")
def test_an_adapter_without_attach_is_refused() -> None:
    class Idle(HeadAdapter):
        pass

    with pytest.raises(FpnProbeError, match=r"Idle has no attach\(\)"):
        register_head(CountHead)(Idle)
    with pytest.raises(FpnProbeError, match="expected the class of a head"):
        register_head("CountHead")  # type: ignore[arg-type]


@pytest.mark.usefixtures("empty_registry")
def test_rows_that_do_not_match_the_loss_are_refused() -> None:
    class Short(ExactCountAdapter):
        def around(self, original: Any, pooled: Tensor, samples: Any) -> Any:
            with self.rows(self.objects.of_image(0)):
                return original(pooled, samples)

    register_head(ExactCountHead)(Short)
    detector = CountDetector()
    detector.bbox_head = ExactCountHead()
    with (
        pytest.raises(FpnProbeError, match="10 rows, but the head has 5 of which 5 have an object"),
        observe(detector, BUCKETS),
    ):
        detector(**data(), mode="loss")
    assert_no_hooks_left(detector)


def test_areas_are_needed() -> None:
    detector = tiny("retinanet")
    made = batch(detector)
    for sample in made["data_samples"]:
        del sample.gt_instances.areas
    with (
        pytest.raises(FpnProbeError, match="have no gt_instances"),
        observe(detector, BUCKETS),
    ):
        loss_of(detector, made)
    assert_no_hooks_left(detector)


def test_one_probe_at_a_time() -> None:
    detector = tiny("retinanet")
    with observe(detector, BUCKETS):
        with (
            pytest.raises(FpnProbeError, match="already overridden on the instance"),
            observe(detector, BUCKETS),
        ):
            pass
        loss_of(detector, batch(detector))
    assert_no_hooks_left(detector)


@pytest.mark.parametrize("name", ["retinanet", "mask_rcnn", "sparse_rcnn"])
def test_nothing_is_left_when_the_forward_pass_raises(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = tiny(name)
    head = detector.bbox_head if name == "retinanet" else detector.roi_head

    def fail(*_args: Any, **_more: Any) -> Any:
        raise RuntimeError("stop")

    target = {"retinanet": head, "mask_rcnn": head, "sparse_rcnn": head}[name]
    loss = {"retinanet": "loss_bbox", "mask_rcnn": "mask_head", "sparse_rcnn": "bbox_head"}[name]
    inner = getattr(target, loss)
    inner = inner[3] if name == "sparse_rcnn" else inner
    monkeypatch.setattr(type(inner), "forward", fail)
    with pytest.raises(RuntimeError, match="stop"), observe(detector, BUCKETS):
        loss_of(detector, batch(detector))
    assert_no_hooks_left(detector)
