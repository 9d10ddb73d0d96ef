"""Detectors of transformers, with random weights: `watch` and `mark` are enough."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import fpnprobe
from tests.unit.probing.provenance.libraries.batch import (
    AREAS,
    BUCKETS,
    LABELS,
    NAMES,
    assert_followed,
    assert_split,
    images,
    scaled_boxes,
    witness_of,
)

library = pytest.importorskip("transformers", reason="transformers is not installed")

CLASSES = [one - 1 for one in LABELS]
DETR = {
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 16),
    "use_timm_backbone": False,
    "backbone": None,
    "use_pretrained_backbone": False,
    "num_labels": 5,
    "num_queries": 8,
    "auxiliary_loss": True,
}
RT_DETR = {
    **dict.fromkeys(("d_model", "encoder_hidden_dim"), 32),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 32),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    "num_labels": 5,
    "encoder_in_channels": [32, 64, 128],
    "decoder_in_channels": [32, 32, 32],
    "decoder_layers": 2,
    "num_queries": 12,
    "num_denoising": 8,
}


def resnet(*outputs: str) -> Any:
    return library.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=list(outputs),
    )


def rt_detr_resnet() -> Any:
    return library.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[16, 32, 64, 128],
        depths=[1, 1, 1, 1],
        layer_type="bottleneck",
        out_features=["stage2", "stage3", "stage4"],
    )


def hgnet() -> Any:
    return library.HGNetV2Config(
        embedding_size=8,
        depths=[1, 1, 1, 1],
        hidden_sizes=[16, 16, 32, 32],
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 16, 16, 32],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[16, 16, 32, 32],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[2, 2, 2, 2],
        out_features=["stage2", "stage3", "stage4"],
    )


def dinov2() -> Any:
    return library.RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        out_features=["stage1", "stage2"],
        image_size=64,
        patch_size=16,
        num_windows=1,
    )


def rf_detr() -> Any:
    heads = dict.fromkeys(("decoder_self_attention_heads", "decoder_cross_attention_heads"), 2)
    sizes = {"d_model": 32, "num_queries": 12, "group_detr": 2, "decoder_layers": 2}
    return library.RfDetrConfig(
        backbone_config=dinov2(), num_labels=5, decoder_ffn_dim=32, **heads, **sizes
    )


CONFIGS: dict[str, Callable[[], Any]] = {
    "Detr": lambda: library.DetrConfig(backbone_config=resnet("stage2"), d_model=32, **DETR),
    "ConditionalDetr": lambda: library.ConditionalDetrConfig(
        backbone_config=resnet("stage2"), d_model=32, **DETR
    ),
    "DabDetr": lambda: library.DabDetrConfig(
        backbone_config=resnet("stage2"), hidden_size=32, **DETR
    ),
    "DeformableDetr": lambda: library.DeformableDetrConfig(
        backbone_config=resnet("stage2", "stage3", "stage4"), d_model=32, **DETR
    ),
    "RTDetr": lambda: library.RTDetrConfig(backbone_config=rt_detr_resnet(), **RT_DETR),
    "RTDetrV2": lambda: library.RTDetrV2Config(backbone_config=rt_detr_resnet(), **RT_DETR),
    "DFine": lambda: library.DFineConfig(
        backbone_config=hgnet(), **{**RT_DETR, "encoder_in_channels": [16, 32, 32]}
    ),
    "RfDetr": rf_detr,
    "Yolos": lambda: library.YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=[64, 64],
        num_detection_tokens=8,
        num_labels=5,
    ),
}


def built(name: str) -> Any:
    torch.manual_seed(0)
    model = getattr(library, f"{name}ForObjectDetection")(CONFIGS[name]())
    return model.train().requires_grad_()


def stages(model: Any) -> dict[str, Any]:
    """The backbone's first two stages, or the transformer's first two layers."""
    named = [(n, m) for n, m in model.named_modules() if "decoder" not in n]
    for ends in (("stages.0", "stages.1"), ("layer.0", "layer.1")):
        found = [m for n, m in named if n.endswith(ends)]
        if found:
            return {f"C{i}": m for i, m in enumerate(found[:2], start=2)}
    raise AssertionError


def loss_of(model: Any, boxes: list[Tensor]) -> Tensor:
    labels = [{"class_labels": n, "boxes": b} for n, b in zip(CLASSES, boxes, strict=True)]
    torch.manual_seed(1)
    loss: Tensor = model(pixel_values=torch.stack(images()), labels=labels).loss
    return loss


@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_need_no_more_than_marks(name: str) -> None:
    model, boxes = built(name), scaled_boxes()
    state = copy.deepcopy(model.state_dict())
    plain = loss_of(model, boxes)
    model.load_state_dict(state)
    with fpnprobe.watch(model, taps=stages(model), mode="full") as probe:
        probe.mark(boxes, CLASSES, areas=AREAS)
        loss = loss_of(model, boxes)
        witness = witness_of(probe)
        sample = probe.measure(loss)
    assert_followed(loss, plain, sample, witness, background=True)


def test_buckets_of_detr_are_those_of_a_split_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    model, boxes = built("Detr"), scaled_boxes()
    with fpnprobe.watch(model, taps=stages(model), mode="full") as probe:
        probe.mark(boxes, CLASSES, areas=AREAS)
        sample = probe.measure(loss_of(model, boxes))
    losses = pytest.importorskip("transformers.loss.loss_for_object_detection").ImageLoss
    original = losses.get_loss
    bucket_of = [torch.tensor(BUCKETS[:2]), torch.tensor(BUCKETS[2:])]
    by_hand = {}
    for number, name in enumerate(NAMES):

        def only(
            criterion: Any,
            kind: str,
            outputs: Any,
            targets: Any,
            indices: Any,
            count: Any,
            number: int = number,
        ) -> Any:
            owner = torch.full(outputs["logits"].shape[:2], 3)
            for image, (queries, objects) in enumerate(indices):
                owner[image, queries] = bucket_of[image][objects]
            kept = (owner == number)[..., None]
            cut = {
                key: torch.where(kept, outputs[key], outputs[key].detach())
                for key in ("logits", "pred_boxes")
            }
            return original(criterion, kind, {**outputs, **cut}, targets, indices, count)

        monkeypatch.setattr(losses, "get_loss", only)
        parameters = list(stages(model)["C2"].parameters())
        gradients = torch.autograd.grad(loss_of(model, boxes), parameters)
        by_hand[name] = torch.cat([g.reshape(-1) for g in gradients])
    assert_split(sample, by_hand, tap="C2")
