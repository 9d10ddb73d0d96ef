"""The memory of a training step's activations: what autograd saves for the backward pass."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from fpnprobe.mm import quiet
from fpnprobe.mm.detectors import detector_config
from fpnprobe.mm.inspect.generated_batch import data_sample
from fpnprobe.mm.variants import apply_variant

CONFIGS = {
    "one-stage": "retinanet_r101_fpn_1x_coco",
    "two-stage": "faster-rcnn_r101_fpn_1x_coco",
}
_SIDES = (0.03, 0.06, 0.1, 0.16, 0.25, 0.4, 0.7)  # of the objects, in heights of the image


class WithoutConvolutions(TorchDispatchMode):
    """Gives zeros of the right shape for convolutions, which take most of the time."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            image = args[0]
            shaped = [
                argument.to("meta") if isinstance(argument, Tensor) else argument
                for argument in args
            ]
            return torch.zeros(func(*shaped).shape, dtype=image.dtype, device=image.device)
        return func(*args, **(kwargs or {}))


class SavedBytes:
    """Counts what autograd saves, each storage once, weights and buffers of the model not.

    >>> layer = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    >>> with SavedBytes(layer).counting() as count:
    ...     _ = layer(torch.zeros(2, 4, requires_grad=True))
    >>> count.bytes  # the input of the linear layer and the output of the ReLU
    96
    """

    def __init__(self, model: nn.Module) -> None:
        self.bytes = 0
        tensors = [*model.parameters(), *model.buffers()]
        self._known = {StorageWeakRef(tensor.untyped_storage()).cdata for tensor in tensors}
        self._alive: list[StorageWeakRef] = []  # a freed address is not given out again

    @contextmanager
    def counting(self) -> Iterator["SavedBytes"]:
        """Count what is saved inside; nothing is kept, so no backward pass is possible."""
        with torch.autograd.graph.saved_tensors_hooks(self._count, _refuse):
            yield self

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        reference = StorageWeakRef(storage)
        if reference.cdata not in self._known:
            self._known.add(reference.cdata)
            self._alive.append(reference)
            self.bytes += storage.nbytes()


def _refuse(_saved: None) -> Tensor:
    raise RuntimeError("nothing was kept for a backward pass: it was counted only")


def saved_bytes(
    detector: BaseDetector,
    *,
    size: tuple[int, int],
    images: int,
    classes: int = 80,
    convolve: bool = False,
) -> int:
    """Bytes that the training loss of a batch saves for its backward pass.

    Shapes decide, so convolutions are left out (`convolve` computes them): a detector of any size
    is counted in seconds and in the memory of its largest maps. Weights, gradients, optimizer and
    workspaces come on top.
    """
    height, width = size
    samples, inputs = [], []
    for image in range(images):
        boxes = [
            (0.1 * width, 0.1 * height, 0.1 * width + side * height, (0.1 + side) * height)
            for side in _SIDES
        ]
        areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
        samples.append(
            data_sample(
                boxes, [n % classes for n in range(len(boxes))], areas, size=size, image=image
            )
        )
        inputs.append(torch.zeros(3, *size, dtype=torch.uint8))
    detector.train()
    prepared = detector.data_preprocessor({"inputs": inputs, "data_samples": samples}, True)
    count = SavedBytes(detector)
    with torch.random.fork_rng(devices=[]), count.counting():
        torch.manual_seed(0)
        if convolve:
            detector(**prepared, mode="loss")
        else:
            with WithoutConvolutions():  # type: ignore[no-untyped-call]
                detector(**prepared, mode="loss")
    return count.bytes


def measure(
    *, variants: Sequence[str], size: tuple[int, int], images: int, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """One row for each kind of detector and variant; see `fpnprobe.bench.neck`."""
    rows = []
    for kind, config in CONFIGS.items():
        base = detector_config({"config": config}, 80)
        for name in variants:
            grouping_options = options if "CFG" in name or "Wide" in name else {}
            with quiet.construction(), DefaultScope.overwrite_default_scope("mmdet"):
                detector = MODELS.build(apply_variant(base, name, **grouping_options))
            rows.append(
                {
                    "kind": kind,
                    "config": config,
                    "variant": name,
                    "images": images,
                    "saved_bytes": saved_bytes(detector, size=size, images=images),
                    "parameters": sum(p.numel() for p in detector.parameters()),
                }
            )
            del detector
    return rows
