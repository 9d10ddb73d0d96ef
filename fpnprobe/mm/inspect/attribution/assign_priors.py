"""Assigns every prior of a dense head to its object, by the head's own rule."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import FCOSHead
from mmdet.models.task_modules import ATSSAssigner, MaxIoUAssigner
from mmdet.models.task_modules.assigners import CenterRegionAssigner
from mmengine.structures import InstanceData
from torch import Tensor

from fpnprobe.errors import FpnProbeError


def assigned_objects(
    head: Any, sizes: Sequence[Sequence[int]], *, boxes: Tensor, labels: Tensor
) -> Tensor:
    """Number of the object of every prior, -1 for background, `(N,)`, levels in order.

    Args:
        head: A dense head of mmdet.
        sizes: (height, width) of every level.
        boxes: Objects `(K, 4)` in input pixels.
        labels: Their classes `(K,)`.

    Raises:
        FpnProbeError: For a head whose rule is not known here.
    """
    priors = head.prior_generator.grid_priors(sizes, dtype=boxes.dtype, device=boxes.device)
    if not len(boxes):
        return torch.full((sum(len(p) for p in priors),), -1, device=boxes.device)
    if isinstance(head, FCOSHead):
        # Labels are copied, never read: offset past the classes they name the object instead.
        numbered = torch.arange(len(boxes), device=boxes.device) + head.num_classes + 1
        objects = InstanceData(bboxes=boxes, labels=numbered)
        per_level, _ = head.get_targets(priors, [objects])
        assigned = torch.cat(per_level)
        return torch.where(assigned > head.num_classes, assigned - head.num_classes - 1, -1)
    assigner = getattr(head, "assigner", None)
    objects = InstanceData(bboxes=boxes, labels=labels)
    flat = InstanceData(priors=torch.cat(priors))
    if isinstance(assigner, ATSSAssigner):
        result = assigner.assign(flat, [len(level) for level in priors], objects)
    elif isinstance(assigner, MaxIoUAssigner | CenterRegionAssigner):
        result = assigner.assign(flat, objects)
    else:
        raise FpnProbeError(
            f"{type(head).__name__} with {type(assigner).__name__} does not say which prior an "
            "object has: attribute its detections instead of objects"
        )
    inds: Tensor = result.gt_inds
    return torch.where(inds > 0, inds - 1, -1)
