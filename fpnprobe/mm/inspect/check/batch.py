"""The needs of a config's training: masks, semantic maps, proposals, and settings for a check."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData, PixelData

_SYNCHRONIZED = ("SyncBN", "MMSyncBN", "naiveSyncBN", "NaiveSyncBN")


@dataclass(frozen=True, slots=True)
class BatchNeeds:
    """List what the training pipeline of a config loads beside boxes and labels.

    Attributes:
        masks: Instance masks.
        stuff: Semantic map.
        proposals: Precomputed proposals.

    >>> load = {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}
    >>> BatchNeeds.of({"train_pipeline": [load]})
    BatchNeeds(masks=True, stuff=False, proposals=False)
    """

    masks: bool = True
    stuff: bool = False
    proposals: bool = False

    @classmethod
    def of(cls, config: Any) -> "BatchNeeds":
        """Read a config's training pipelines."""
        loader = config.get("train_dataloader") or {}
        steps = [*_list_steps(config.get("train_pipeline")), *_list_steps(loader)]
        loads = [step for step in steps if str(step.get("type", "")).startswith("Load")]
        kinds = [str(step["type"]).rpartition(".")[2] for step in loads]
        panoptic = "LoadPanopticAnnotations" in kinds
        return cls(
            masks=panoptic or any(step.get("with_mask") for step in loads),
            stuff=panoptic or any(step.get("with_seg") for step in loads),
            proposals="LoadProposals" in kinds,
        )

    def adapt(self, batch: dict[str, Any], *, stuff_class: int) -> dict[str, Any]:
        """Give a generated batch what the pipeline would load, and take away what it would not."""
        for sample in batch["data_samples"]:
            truth = sample.gt_instances
            height, width = sample.img_shape
            if not self.masks and "masks" in truth:
                del truth.masks
            if self.stuff:
                stuff = torch.full((1, height, width), 255)
                stuff[:, height // 2 :] = stuff_class
                sample.gt_sem_seg = PixelData(sem_seg=stuff)
            if self.proposals:
                shifted = [truth.bboxes + shift for shift in (0.0, 2.0, 9.0, 40.0)]
                boxes = torch.cat(shifted).clamp(0, max(height, width))
                has_area = (boxes[:, 2:] > boxes[:, :2]).all(1)
                sample.proposals = InstanceData(bboxes=boxes[has_area], scores=boxes[has_area, 0])
        return batch


def begin_training() -> None:
    """Say, as a runner does, that a training is at its first iteration."""
    hub = MessageHub.get_current_instance()
    for key, value in (("iter", 0), ("epoch", 0), ("max_iters", 1), ("max_epochs", 1)):
        hub.update_info(key, value)


def without_synchronization(part: Any) -> None:
    """Normalize within this process: the statistics of one process are those of its batch."""
    if part.get("type") in _SYNCHRONIZED:
        part.type = "BN"


def pad_no_further(part: Any, *, size: int) -> None:
    """Let a part that pads every batch to the size of the training pad it to that of the check."""
    if part.get("type") == "BatchFixedSizePad":
        part.size = (size, size)


def _list_steps(value: Any) -> Iterator[Any]:
    """Mappings with a type in nested pipelines."""
    if isinstance(value, dict):
        if "type" in value:
            yield value
        for inner in value.values():
            yield from _list_steps(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _list_steps(inner)
