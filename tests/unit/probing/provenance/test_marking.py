"""A head that nobody wrote an adapter for: exact, or refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.watch.watcher import Watch
from fpnprobe.testing import assert_no_hooks_left
from tests.unit.probing.provenance.heads import (
    CLASSES,
    Dense,
    Targets,
    sigmoid_loss,
    softmax_loss,
    two_annotated_images,
)

LOSSES = {"softmax": softmax_loss, "sigmoid": sigmoid_loss}
BUCKET_OF_CLASS = [2, 0, 1, 0, 3]  # of the objects of `two_annotated_images`, then background


def mark(probe: Watch, targets: list[Targets], areas: list[float]) -> None:
    probe.mark([b for b, _ in targets], [n for _, n in targets], areas=areas)


def only(loss: Callable[..., Tensor], bucket: int) -> Callable[..., Tensor]:
    """The same loss, where predictions of the rows of other buckets are cut from the graph.

    The class target says whose a row is: every object of the batch has a class of its own.
    """

    def masked(scores: Tensor, corners: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
        kept = torch.tensor(BUCKET_OF_CLASS)[labels.reshape(-1)][:, None] == bucket
        scores = torch.where(kept, scores, scores.detach())
        corners = torch.where(kept, corners, corners.detach())
        return loss(scores, corners, labels, boxes)

    return masked


@pytest.mark.parametrize("name", LOSSES)
def test_buckets_are_those_of_a_loss_split_by_hand(name: str) -> None:
    images, targets, areas = two_annotated_images()
    model = Dense(LOSSES[name])
    plain = model(images, targets)
    with fpnprobe.watch(model, mode="full") as probe:
        mark(probe, targets, areas)
        loss = model(images, targets)
        sample = probe.measure(loss)
    assert torch.equal(loss, plain)
    assert sample is not None and sample.residuals.worst < 1e-10
    found = {r.bucket: r.l2 for r in sample.records if (r.tap, r.kind) == ("C2", "parameter")}
    for number, bucket in enumerate(("small", "medium", "large", "background")):
        model.loss = only(LOSSES[name], number)
        gradients = torch.autograd.grad(model(images, targets), list(model.layer1.parameters()))
        by_hand = torch.cat([g.reshape(-1) for g in gradients]).norm()
        assert found[bucket] == pytest.approx(float(by_hand), rel=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_rows_are_witnessed(name: str) -> None:
    images, targets, areas = two_annotated_images()
    model = Dense(LOSSES[name])
    with fpnprobe.watch(model) as probe:
        mark(probe, targets, areas)
        model(images, targets)
        assert probe._marking is not None
        witness = probe._marking.witness
    assert sum(witness.witnessed.values()) > 0


def test_no_object_at_all() -> None:
    images, targets, _ = two_annotated_images()
    empty = [targets[1]] * 3
    model = Dense(softmax_loss)
    with fpnprobe.watch(model) as probe:
        mark(probe, empty, [])
        sample = probe.measure(model(images, empty))
    assert sample is not None and sample.residuals.worst < 1e-10
    assert sample.values["small"] == sample.values["large"] == 0 < sample.values["background"]


def test_targets_made_by_python_numbers_are_refused() -> None:
    images, targets, areas = two_annotated_images()
    model = Dense(softmax_loss, launder=True)
    with (
        fpnprobe.watch(model) as probe,
        pytest.raises(FpnProbeError, match=r"cross_entropy: .* probe\.mark_rows\("),
    ):
        mark(probe, targets, areas)
        model(images, targets)
    assert_no_hooks_left(model)
    assert _get_current_dispatch_mode() is None


def test_rows_that_a_user_marks_are_accepted() -> None:
    images, targets, areas = two_annotated_images()
    model = Dense(softmax_loss)
    with fpnprobe.watch(model, mode="full") as followed:
        mark(followed, targets, areas)
        one = followed.measure(model(images, targets))
    laundering = Dense(softmax_loss, launder=True)
    original = laundering.loss
    objects = torch.tensor([1, 0, 3, 2, -1])  # number of the object of each class

    with fpnprobe.watch(laundering, mode="full") as probe:

        def loss(scores: Tensor, corners: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
            probe.mark_rows(labels, objects[labels])
            return original(scores, corners, labels, boxes)

        laundering.loss = loss
        mark(probe, targets, areas)
        two = probe.measure(laundering(images, targets))
    assert one is not None and two is not None
    for a, b in zip(one.records, two.records, strict=True):
        assert a.l2 == pytest.approx(b.l2, rel=1e-12, abs=1e-300)


def test_tensors_that_the_model_never_sees_are_refused() -> None:
    images, targets, areas = two_annotated_images()
    model = Dense(softmax_loss)
    copies = [(b.clone(), n.clone()) for b, n in targets]
    with (
        fpnprobe.watch(model) as probe,
        pytest.raises(FpnProbeError, match="mark"),
    ):
        mark(probe, copies, areas)
        probe.measure(model(images, targets))


def test_a_row_of_two_objects_names_loss_row_and_operator() -> None:
    boxes, labels = torch.tensor([[0.0, 0, 4, 4], [2, 2, 9, 9]]), torch.tensor([0, 1])
    layer1 = torch.nn.Linear(4, 4)
    model = torch.nn.ModuleDict({"layer1": layer1})
    with (
        fpnprobe.watch(model) as probe,
        pytest.raises(FpnProbeError, match=r"l1_loss: row 0 of 3 .* sum joins several objects"),
    ):
        probe.mark(boxes, labels, areas=[16.0, 49.0])
        prediction = layer1(torch.ones(3, 4))
        loss = torch.nn.functional.l1_loss(prediction, boxes.sum(0).expand(3, 4))
        probe.measure(loss)


def test_iterations_that_are_not_due_run_without_a_mode() -> None:
    images, targets, areas = two_annotated_images()
    model = Dense(softmax_loss)
    with fpnprobe.watch(model, interval=2) as probe:
        modes: list[Any] = []
        for _ in range(3):
            mark(probe, targets, areas)
            modes.append(_get_current_dispatch_mode())
            probe.measure(model(images, targets))
    assert [mode is not None for mode in modes] == [True, False, True]
    assert _get_current_dispatch_mode() is None


def test_a_model_that_raises_leaves_no_mode_behind() -> None:
    images, targets, areas = two_annotated_images()
    model = Dense(lambda *_: 1 / 0)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError), fpnprobe.watch(model) as probe:
        mark(probe, targets, areas)
        model(images, targets)
    assert _get_current_dispatch_mode() is None


def test_counts_that_do_not_fit_are_one_line() -> None:
    boxes, labels = torch.zeros(2, 4), torch.zeros(2).long()
    with fpnprobe.watch(Dense(softmax_loss)) as probe:
        with pytest.raises(FpnProbeError, match="1 areas for 2"):
            probe.mark(boxes, labels, areas=[1.0])
        with pytest.raises(FpnProbeError, match="objects of each image differ"):
            probe.mark(boxes[:1], labels, areas=[1.0, 2.0])
    assert CLASSES == 4
