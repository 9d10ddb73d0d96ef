"""Detectors of other libraries, with nothing but `watch` and `mark`."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.models.detection as zoo
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator

import fpnprobe
from fpnprobe.probing.sample import Sample

AREAS = [300.0, 5000.0, 20000.0, 1500.0]
BUCKETS = [0, 1, 2, 1]  # of the objects above
BOXES = [
    torch.tensor([[4.0, 4, 14, 14], [8, 8, 40, 50]]),
    torch.tensor([[0.0, 0, 60, 60], [30, 30, 44, 44]]),
]
LABELS = [torch.tensor([1, 2]), torch.tensor([3, 4])]


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
    pool = torchvision_pool(7)
    if name == "MaskRCNN":
        more = {"mask_roi_pool": torchvision_pool(14)}
        return zoo.MaskRCNN(
            Backbone(), 5, rpn_anchor_generator=anchors, box_roi_pool=pool, **more, **sizes
        )
    return zoo.FasterRCNN(Backbone(), 5, rpn_anchor_generator=anchors, box_roi_pool=pool, **sizes)


def torchvision_pool(size: int) -> Any:
    from torchvision.ops import MultiScaleRoIAlign

    return MultiScaleRoIAlign(["0"], size, 2)


def measure(model: nn.Module, compute: Callable[[], Tensor], **marks: Any) -> tuple[Tensor, Sample]:
    taps = {
        "C2": model.get_submodule("backbone.layer1"),
        "C3": model.get_submodule("backbone.layer2"),
    }
    with fpnprobe.watch(model, taps=taps, mode="full") as probe:
        probe.mark(BOXES, LABELS, areas=AREAS, **marks)
        torch.manual_seed(3)
        loss = compute()
        sample = probe.measure(loss)
    assert sample is not None
    return loss, sample


@pytest.mark.parametrize("name", ["RetinaNet", "FCOS", "FasterRCNN", "MaskRCNN"])
def test_torchvision_needs_no_more_than_marks(name: str) -> None:
    model = torchvision_model(name).train()
    images = [torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(2)]
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

    def compute() -> Tensor:
        return torch.stack(list(model(images, targets).values())).sum()

    state = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    plain = compute()
    model.load_state_dict(state)
    loss, sample = measure(model, compute, **marks)
    assert torch.equal(loss, plain)
    assert sample.residuals.worst < 1e-5
    rows = {r.bucket: r.n_rows for r in sample.records if (r.tap, r.route) == ("C2", "total")}
    assert min(rows["small"], rows["medium"], rows["large"]) > 0


def test_buckets_of_torchvision_are_those_of_a_split_by_hand() -> None:
    model = torchvision_model("RetinaNet").train()
    images = [torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    targets = [{"boxes": b, "labels": n} for b, n in zip(BOXES, LABELS, strict=True)]
    _, sample = measure(model, lambda: torch.stack(list(model(images, targets).values())).sum())
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
        loss = torch.stack(list(model(images, targets).values())).sum()
        gradients = torch.autograd.grad(loss, list(model.backbone.layer1.parameters()))
        by_hand = torch.cat([g.reshape(-1) for g in gradients]).norm()
        assert found[bucket] == pytest.approx(float(by_hand), rel=1e-4)


def test_detr_of_transformers() -> None:
    library = pytest.importorskip("transformers", reason="transformers is not installed")
    backbone = library.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8],
        depths=[1, 1],
        layer_type="basic",
        out_features=["stage2"],
    )
    torch.manual_seed(0)
    few = dict.fromkeys(("encoder_layers", "decoder_layers"), 1)
    heads = dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
    wide = dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 16)
    config = library.DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        backbone_config=backbone,
        use_pretrained_backbone=False,
        num_labels=5,
        d_model=16,
        num_queries=8,
        **few,
        **heads,
        **wide,
    )
    model = library.DetrForObjectDetection(config).train().requires_grad_()
    stages = [m for n, m in model.named_modules() if n.endswith(("stages.0", "stages.1"))]
    scaled = [torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.6, 0.7]])] * 2
    boxes = [one.clone() for one in scaled]
    classes = [one - 1 for one in LABELS]
    labels = [{"class_labels": n, "boxes": b} for n, b in zip(classes, boxes, strict=True)]
    images = torch.rand(2, 3, 64, 64)
    torch.manual_seed(1)
    plain = model(pixel_values=images, labels=labels).loss
    with fpnprobe.watch(model, taps={"C2": stages[0], "C3": stages[1]}) as probe:
        probe.mark(boxes, classes, areas=AREAS)
        torch.manual_seed(1)
        loss = model(pixel_values=images, labels=labels).loss
        sample = probe.measure(loss)
    assert sample is not None and torch.equal(loss, plain)
    assert sample.residuals.worst < 1e-5
    assert sample.values["small"] > 0 and sample.values["large"] > 0


def test_rt_detr_of_transformers() -> None:
    library = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    config = library.RTDetrConfig(
        backbone_config=library.RTDetrResNetConfig(
            embedding_size=8,
            hidden_sizes=[16, 32, 64, 128],
            depths=[1, 1, 1, 1],
            layer_type="bottleneck",
            out_features=["stage2", "stage3", "stage4"],
        ),
        num_labels=5,
        d_model=32,
        encoder_hidden_dim=32,
        encoder_in_channels=[32, 64, 128],
        decoder_in_channels=[32, 32, 32],
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        decoder_layers=2,
        num_queries=12,
        num_denoising=8,
    )
    model = library.RTDetrForObjectDetection(config).train().requires_grad_()
    ends = tuple(f"stages.{i}" for i in range(4))
    stages = [m for n, m in model.named_modules() if n.endswith(ends) and "backbone" in n]
    boxes = [torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.6, 0.7]]) for _ in range(2)]
    classes = [one - 1 for one in LABELS]
    labels = [{"class_labels": n, "boxes": b} for n, b in zip(classes, boxes, strict=True)]
    images = torch.rand(2, 3, 64, 64)
    torch.manual_seed(1)
    plain = model(pixel_values=images, labels=labels).loss
    taps = {f"C{i}": stage for i, stage in enumerate(stages, start=2)}
    with fpnprobe.watch(model, taps=taps) as probe:
        probe.mark(boxes, classes, areas=AREAS)
        torch.manual_seed(1)
        loss = model(pixel_values=images, labels=labels).loss
        sample = probe.measure(loss)
    assert sample is not None and torch.equal(loss, plain)
    # The overlap of all pairs of boxes mixes objects before its diagonal is taken: the gradient
    # splits, the value does not.
    assert max(sample.residuals.activation, sample.residuals.routes) < 1e-5
    found = {r.bucket: r.l2 for r in sample.records if (r.tap, r.route) == ("C3", "total")}
    assert min(found["small"], found["medium"], found["large"]) > 0


def test_yolo11_of_ultralytics() -> None:
    tasks = pytest.importorskip("ultralytics.nn.tasks", reason="ultralytics is not installed")
    settings = pytest.importorskip("ultralytics.cfg")
    torch.manual_seed(0)
    model = tasks.DetectionModel("yolo11n.yaml", nc=5, verbose=False).train()
    model.args = settings.get_cfg()
    layers = model.model
    boxes = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.6, 0.7], [0.6, 0.4, 0.3, 0.3]])
    labels = torch.tensor([[1.0], [2.0], [3.0]])
    batch = {
        "img": torch.rand(2, 3, 64, 64),
        "batch_idx": torch.tensor([0.0, 0.0, 1.0]),
        "cls": labels,
        "bboxes": boxes,
    }
    state = copy.deepcopy(model.state_dict())
    plain = model(batch)[0].sum()
    model.load_state_dict(state)
    taps = {"C3": layers[4], "C4": layers[6], "C5": layers[10]}
    with fpnprobe.watch(model, taps=taps) as probe:
        probe.mark(boxes, labels, areas=AREAS[:3])
        loss = model(batch)[0].sum()
        sample = probe.measure(loss)
    assert sample is not None and torch.equal(loss, plain)
    assert sample.residuals.worst < 1e-5
    assert sample.values["large"] > 0
