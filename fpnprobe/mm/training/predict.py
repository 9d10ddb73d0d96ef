"""Detections of a trained cell on its validation images, as COCO results."""

import gzip
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.mm.training.images.loader import prediction_loader
from fpnprobe.mm.training.team import Team
from fpnprobe.store import atomic


def predict(
    model: Any,
    images: CellImages,
    *,
    file: Path,
    report: Callable[[int], None],
    batch: int = 4,
    masks: bool = False,
    team: Team | None = None,
) -> float:
    """Run the detector over all images and write `file` (gzip'd JSON).

    Several processes take the batches by turns; the first one writes. The batches are the same
    for any number of processes, and so are the detections.

    Boxes are (x, y, width, height) in px of the original image, rounded to 1/1000 px.

    Args:
        model: A detector of mmdet.
        images: In order and without flips (`seed=None`).
        file: Where to write.
        report: Called with the number of images done; may raise to stop.
        batch: Images per forward pass.
        masks: Whether instance masks are written as well (run-length encoded).
        team: The processes that predict together; each of them calls this. None for this one.

    Returns:
        Images per second of the detector alone, in this process, without its first batch; NaN for
        a single batch.
    """
    team = team or Team()
    firsts = range(0, len(images), batch)[team.rank :: team.size]
    batches = [range(first, min(first + batch, len(images))) for first in firsts]
    loader = prediction_loader(images, batches, device=next(model.parameters()).device.type)
    local_rows: list[tuple[int, list[dict[str, Any]]]] = []
    speed = _Speed()
    model.eval()
    with torch.no_grad():
        for first, data in zip(firsts, loader, strict=True):
            report(first)
            with speed.timed(len(data["inputs"])):
                results = model.test_step(data)
            rows = [
                row for result in results for row in _as_coco(result, images.category_ids, masks)
            ]
            local_rows.append((first, rows))
    gathered = sorted(
        (
            rows_of_batch
            for rows_of_process in team.gather(local_rows)
            for rows_of_batch in rows_of_process
        ),
        key=lambda rows_of_batch: rows_of_batch[0],
    )
    if team.rank == 0:
        detections = [row for _, rows in gathered for row in rows]
        text = json.dumps(detections, separators=(",", ":")).encode()
        atomic.write_bytes(file, gzip.compress(text, compresslevel=6, mtime=0))
    return speed.images_per_second


class _Speed:
    """Images and seconds of forward passes, without the first one."""

    def __init__(self) -> None:
        self._images, self._seconds, self._is_warm = 0, 0.0, False

    @contextmanager
    def timed(self, images: int) -> Iterator[None]:
        """Time the forward pass inside."""
        start = time.perf_counter()
        yield
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        if self._is_warm:
            self._images += images
            self._seconds += time.perf_counter() - start
        self._is_warm = True

    @property
    def images_per_second(self) -> float:
        """NaN where nothing but the first one was timed."""
        return self._images / self._seconds if self._seconds else math.nan


def _as_coco(result: Any, category_ids: list[int], masks: bool) -> list[dict[str, Any]]:
    instances = result.pred_instances
    boxes = instances.bboxes.double().cpu().numpy()
    boxes[:, 2:] -= boxes[:, :2]
    outlines = _run_lengths(instances.masks) if masks else [None] * len(boxes)
    rows = []
    for box, score, label, outline in zip(
        np.round(boxes, 3).tolist(),
        instances.scores.double().cpu().tolist(),
        instances.labels.tolist(),
        outlines,
        strict=True,
    ):
        row = {
            "image_id": result.img_id,
            "category_id": category_ids[label],
            "bbox": box,
            "score": score,
        }
        rows.append(row if outline is None else row | {"segmentation": outline})
    return rows


def _run_lengths(masks: torch.Tensor) -> list[dict[str, Any]]:
    from pycocotools import mask as coco_mask

    encoded = [
        coco_mask.encode(np.asfortranarray(mask.cpu().numpy().astype(np.uint8))) for mask in masks
    ]
    return [
        {"size": run_lengths["size"], "counts": run_lengths["counts"].decode()}
        for run_lengths in encoded
    ]
