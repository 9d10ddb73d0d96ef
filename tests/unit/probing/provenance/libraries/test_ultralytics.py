"""Detectors of ultralytics, with random weights: `watch` and `mark` are enough."""

import copy
from typing import Any

import pytest
import torch
from PIL import Image
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

before = Image.open, torch.save
tasks = pytest.importorskip("ultralytics.nn.tasks", reason="ultralytics is not installed")
settings = pytest.importorskip("ultralytics.cfg")
# ultralytics puts its own in their place when it is imported, for all tests of the process
Image.open, torch.save = before

# Numbers of the layers that make C3 and C4.
LAYERS = {
    "yolov8n": (4, 6),
    "yolov9t": (4, 6),
    "yolov10n": (4, 6),
    "yolo11n": (4, 6),
    "yolo12n": (4, 6),
    "yolo26n": (4, 6),
}


def built(name: str) -> Any:
    torch.manual_seed(0)
    model = tasks.DetectionModel(f"{name}.yaml", nc=5, verbose=False).train()
    model.args = settings.get_cfg()
    return model


def taps(model: Any, name: str) -> dict[str, Any]:
    return {f"C{i}": model.model[n] for i, n in enumerate(LAYERS[name], start=3)}


def batch() -> dict[str, Tensor]:
    return {
        "img": torch.stack(images()),
        "batch_idx": torch.tensor([0.0, 0.0, 1.0, 1.0]),
        "cls": torch.cat(LABELS)[:, None].float(),
        "bboxes": torch.cat(scaled_boxes()),
    }


def loss_of(model: Any, given: dict[str, Tensor]) -> Tensor:
    loss: Tensor = model(given)[0].sum()
    return loss


@pytest.mark.parametrize("name", LAYERS)
def test_ultralytics_needs_no_more_than_marks(name: str) -> None:
    model, given = built(name), batch()
    state = copy.deepcopy(model.state_dict())
    plain = loss_of(model, given)
    model.load_state_dict(state)
    with fpnprobe.watch(model, taps=taps(model, name), mode="full") as probe:
        probe.mark(given["bboxes"], given["cls"], areas=AREAS)
        loss = loss_of(model, given)
        witness = witness_of(probe)
        sample = probe.measure(loss)
    assert_followed(loss, plain, sample, witness, background=True)


def test_buckets_of_yolo11_are_those_of_a_split_by_hand() -> None:
    name, given = "yolo11n", batch()
    model = built(name)
    state = copy.deepcopy(model.state_dict())
    with fpnprobe.watch(model, taps=taps(model, name), mode="full") as probe:
        probe.mark(given["bboxes"], given["cls"], areas=AREAS)
        sample = probe.measure(loss_of(model, given))
    original = model.criterion.get_assigned_targets_and_loss
    bucket_of = torch.tensor([BUCKETS[:2], BUCKETS[2:]])  # of the padded objects of each image
    by_hand = {}
    for number, bucket in enumerate(NAMES):

        def only(preds: Any, data: Any, number: int = number) -> Any:
            fg_mask, object_of = original(preds, data)[0][:2]
            owner = torch.where(fg_mask.bool(), bucket_of.gather(1, object_of), 3)
            kept = (owner == number)[:, None]
            cut = {
                key: torch.where(kept, preds[key], preds[key].detach())
                for key in ("boxes", "scores")
            }
            return original({**preds, **cut}, data)

        model.load_state_dict(state)
        model.criterion.get_assigned_targets_and_loss = only
        parameters = list(taps(model, name)["C3"].parameters())
        gradients = torch.autograd.grad(loss_of(model, given), parameters)
        by_hand[bucket] = torch.cat([g.reshape(-1) for g in gradients])
    assert_split(sample, by_hand, tap="C3")
