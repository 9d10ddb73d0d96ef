"""Two annotated images, four objects, and what must hold of a library that is followed."""

import pytest
import torch
from torch import Tensor

from fpnprobe.probing.provenance import Witness
from fpnprobe.probing.sample import Sample
from fpnprobe.probing.watch.watcher import Watch

AREAS = [300.0, 5000.0, 20000.0, 1500.0]
BUCKETS = [0, 1, 2, 1]  # of the objects above
NAMES = ("small", "medium", "large", "background")
BOXES = [
    torch.tensor([[4.0, 4, 14, 14], [8, 8, 40, 50]]),
    torch.tensor([[0.0, 0, 60, 60], [30, 30, 44, 44]]),
]
LABELS = [torch.tensor([1, 2]), torch.tensor([3, 4])]


def images() -> list[Tensor]:
    return [torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(2)]


def scaled_boxes() -> list[Tensor]:
    """Centers and sizes in parts of the image."""
    return [
        torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1).div(64).clone()
        for b in BOXES
    ]


def witness_of(probe: Watch) -> Witness:
    assert probe._marking is not None
    return probe._marking.witness


def assert_followed(
    loss: Tensor, plain: Tensor, sample: Sample | None, witness: Witness, *, background: bool
) -> None:
    assert torch.equal(loss, plain)  # to the last bit
    assert sample is not None and sample.residuals.worst < 1e-5
    assert sample.residuals.loss < 1e-5 and sample.unlabeled == 0
    assert all(sample.values[name] > 0 for name in NAMES[: 3 + background])
    assert sum(witness.witnessed.values()) > 0
    rows = {r.bucket: r.n_rows for r in sample.records if (r.tap, r.route) == ("C3", "total")}
    assert all(rows[name] > 0 for name in NAMES[: 3 + background])


def assert_split(sample: Sample | None, by_hand: dict[str, Tensor], *, tap: str) -> None:
    """Gradients of a stage's parameters by bucket, and those of a loss that was split by hand."""
    assert sample is not None
    found = {r.bucket: r.l2 for r in sample.records if (r.tap, r.kind) == (tap, "parameter")}
    for name in NAMES:
        assert found[name] == pytest.approx(float(by_hand[name].norm()), rel=1e-4), name
