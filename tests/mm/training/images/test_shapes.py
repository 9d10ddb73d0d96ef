"""Batches of one shape: a permutation, aligned with the batches of the training."""

from pathlib import Path

import numpy as np
import pytest

from fpnprobe.data import scenes
from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.mm.training.images.shapes import grouped


@pytest.mark.parametrize("batch", [1, 3, 4, 8])
@pytest.mark.parametrize("part", [0.0, 0.25, 0.6, 1.0])
def test_batches_have_one_shape_over_epochs(batch: int, part: float) -> None:
    random = np.random.default_rng(7)
    n, epochs = 61, 5
    tall = random.random(n) < part
    drawn = [random.permutation(n) for _ in range(epochs)]
    orders = [grouped(each, tall, batch=batch, first=n * e) for e, each in enumerate(drawn)]
    for before, after in zip(drawn, orders, strict=True):
        assert sorted(after) == list(range(n))
        assert len(after) == n
        if part in (0.0, 1.0) or batch == 1:
            assert after.tolist() == before.tolist()
    whole = np.concatenate(orders)
    batches = whole[: len(whole) // batch * batch].reshape(-1, batch)
    mixed = sum(len(set(tall[images])) > 1 for images in batches)
    assert mixed <= 2 * epochs + 1  # the last of an epoch, and the one it shares with the next
    if batch == 4 and part == 0.25:
        plain = np.concatenate(drawn)[: len(batches) * batch].reshape(-1, batch)
        assert mixed < 0.5 * sum(len(set(tall[images])) > 1 for images in plain)


def test_images_of_a_shape_keep_their_order_after_the_begun_batch() -> None:
    random = np.random.default_rng(0)
    order, tall = random.permutation(40), random.random(40) < 0.4
    found = grouped(order, tall, batch=4, first=42)
    begun = -42 % 4
    assert found[:begun].tolist() == order[:begun].tolist()
    for kind in (tall, ~tall):
        for images in (order, found):
            assert len(images[kind[images]]) == kind.sum()
        kept = found[begun:][kind[found[begun:]]]
        assert kept.tolist() == order[begun:][kind[order[begun:]]].tolist()


def test_fewer_images_than_the_begun_batch_needs() -> None:
    assert grouped(np.array([1, 0]), np.array([True, False]), batch=8, first=3).tolist() == [1, 0]


def test_square_images_come_as_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path))
    root = scenes.cached(train=6, val=2, size=64, seed=0)
    file = root / "annotations" / "train.json"
    one, two = (
        CellImages(root, file, classes=("ring",), size=None, seed=3, batch=batch)
        for batch in (1, 4)
    )
    numbers = [[images[p]["data_samples"].img_id for p in range(12)] for images in (one, two)]
    assert numbers[0] == numbers[1]
