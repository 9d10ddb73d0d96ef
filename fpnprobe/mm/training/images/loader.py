"""Data loaders: workers by the CPUs at hand, each with one thread."""

import os
from collections.abc import Sequence
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from fpnprobe.mm.training.images.dataset import CellImages

CPUS = "FPNPROBE_CPUS"  # set by the launcher of cells that run side by side
_MOST_WORKERS = 8


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put the samples of a batch side by side, as mmdet's detectors take them."""
    return {key: [sample[key] for sample in samples] for key in samples[0]}


def count_workers(*, cached: bool, device: str) -> int:
    """Choose the number of loader processes of this process.

    None where pixels are mapped from a cache and the device is the CPU itself: a worker would only
    take its time. Otherwise the CPUs of this process's share but one, between 1 and 8.

    Args:
        cached: Whether the images need no decoding.
        device: "cpu" or "cuda".
    """
    if cached and device == "cpu":
        return 0
    cpus_of_cell = os.environ.get(CPUS, "")
    cpus = int(cpus_of_cell) if cpus_of_cell.isdecimal() else len(os.sched_getaffinity(0))
    share = cpus // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(max(share - 1, 1), _MOST_WORKERS)


def limit_threads(_worker: int = 0) -> None:
    """Keep a loader process to one thread: OpenCV would start one for every CPU in each of them."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def prediction_loader(images: CellImages, batches: Sequence[range], *, device: str) -> Any:
    """Load batches of images in their order, for a detector that predicts.

    It draws no random number from the generators that later steps use.
    """
    return DataLoader(
        images,
        batch_sampler=[list(batch) for batch in batches],
        num_workers=count_workers(cached=images.cached, device=device),
        pin_memory=device.startswith("cuda"),
        collate_fn=collate,
        worker_init_fn=limit_threads,
        generator=torch.Generator(),
    )
