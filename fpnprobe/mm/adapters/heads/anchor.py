"""Anchor heads: RetinaNet, the RPN, ATSS, and others that keep `AnchorHead`'s steps.

The identity is in the sampling result that `_get_targets_single` returns: the labels it returns
too, over all anchors of the image, are in the classes of the head at the positive anchors, in the
order of `pos_assigned_gt_inds`. `get_targets` then goes from images to levels.
"""

from typing import Any

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.models.utils import images_to_levels
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.adapter import HeadAdapter
from fpnprobe.mm.adapters.objects import BACKGROUND
from fpnprobe.mm.adapters.registry import register_head


@register_head(AnchorHead)
class AnchorAdapter(HeadAdapter):
    """Rows are the anchors of one level, images one after the other."""

    def attach(self) -> None:
        """Wrap the steps from assignment to loss."""
        self._images: list[Tensor] = []
        self._levels: list[Tensor] = []
        self._next = 0
        self.wrap("_get_targets_single", self._around_image)
        self.wrap("get_targets", self._around_targets)
        self.wrap("loss_by_feat_single", self._around_level)

    def _around_image(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        targets = original(*args, **kwargs)
        sample = next((x for x in targets if isinstance(x, SamplingResult)), None)
        labels = next(
            (
                x
                for x in targets
                if isinstance(x, Tensor) and x.dim() == 1 and x.dtype == torch.long
            ),
            None,
        )
        if sample is None or labels is None:
            raise FpnProbeError(f"{self.path}: its targets hold no sampling result or no labels")
        positive = ((labels >= 0) & (labels < self.head.num_classes)).nonzero().squeeze(1)
        order = sample.pos_inds
        if len(positive) != len(order) or bool((order[1:] <= order[:-1]).any()):
            raise FpnProbeError(
                f"{self.path}: {len(positive)} anchors have a class but {len(order)} were sampled "
                "in order: this head needs an adapter of its own"
            )
        objects = torch.full_like(labels, BACKGROUND)
        objects[positive] = self.objects.numbers(len(self._images), sample.pos_assigned_gt_inds)
        self._images.append(objects)
        return targets

    def _around_targets(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        anchors = kwargs["anchor_list"] if "anchor_list" in kwargs else args[0]
        sizes = [len(level) for level in anchors[0]]  # before ATSS joins them in place
        self._images.clear()
        targets = original(*args, **kwargs)
        self._levels, self._next = images_to_levels(self._images, sizes), 0
        return targets

    def _around_level(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        index, self._next = self._next, self._next + 1
        objects = self._levels[index].reshape(-1)  # (B * anchors of the level,)
        with self.rows(objects, torch.full_like(objects, self.level(index))):
            return original(*args, **kwargs)
