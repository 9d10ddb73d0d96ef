"""FCOS: points, assigned without a sampler.

The assignment is deterministic and needs no network, so it is made a second time with the labels
replaced by object numbers above the classes: what comes back is the object of each point.
"""

from typing import Any

import torch
from mmdet.models.dense_heads import FCOSHead

from fpnprobe.mm.adapters.adapter import HeadAdapter
from fpnprobe.mm.adapters.objects import BACKGROUND
from fpnprobe.mm.adapters.observing.head_rows import Rows
from fpnprobe.mm.adapters.registry import register_head


@register_head(FCOSHead)
class FCOSAdapter(HeadAdapter):
    """Rows are the points of all levels, level by level, images one after the other in each."""

    def attach(self) -> None:
        """Wrap the assignment and the loss."""
        self._rows: Rows | None = None
        self.wrap("get_targets", self._around_targets)
        self.wrap("loss_by_feat", self._around_loss)

    def _around_targets(self, original: Any, points: Any, truths: Any) -> Any:
        targets = original(points, truths)
        classes = self.head.num_classes
        numbered = []
        for image, truth in enumerate(truths):
            copy = truth.new()
            copy.bboxes = truth.bboxes
            own = torch.arange(len(truth), device=truth.labels.device)
            copy.labels = self.objects.numbers(image, own) + classes + 1
            numbered.append(copy)
        objects, levels = [], []
        for index, codes in enumerate(original(points, numbered)[0]):
            own = codes - classes - 1
            objects.append(torch.where(codes > classes, own, BACKGROUND))
            levels.append(torch.full_like(own, self.level(index)))
        if self._rows is not None:
            self._rows.objects, self._rows.levels = torch.cat(objects), torch.cat(levels)
        return targets

    def _around_loss(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        with self.rows() as self._rows:
            return original(*args, **kwargs)
