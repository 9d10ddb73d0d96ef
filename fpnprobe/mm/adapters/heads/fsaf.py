"""FSAF: anchors whose losses are kept unreduced until each object has chosen its level.

`reweight_loss_single` is given the object of every anchor (already numbered through the batch)
and returns which anchors stay positive. Anchors of an object at a level that it did not choose
count as background: the head itself drops them from its positives.
"""

from typing import Any

import torch
from mmdet.models.dense_heads import FSAFHead
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.adapter import HeadAdapter
from fpnprobe.mm.adapters.label_check import check_classes
from fpnprobe.mm.adapters.objects import BACKGROUND
from fpnprobe.mm.adapters.registry import register_head


@register_head(FSAFHead)
class FSAFAdapter(HeadAdapter):
    """Rows are the anchors of one level, images one after the other; losses are unreduced."""

    def attach(self) -> None:
        """Wrap the loss of a level and the choice between levels."""
        self.wrap("loss_by_feat_single", self._around_level)
        self.wrap("reweight_loss_single", self._around_choice)

    def _around_level(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        with self.rows(later=True):
            return original(*args, **kwargs)

    def _around_choice(
        self,
        original: Any,
        cls_loss: Tensor,
        reg_loss: Tensor,
        assigned_gt_inds: Tensor,
        labels: Tensor,
        level: int,
        min_levels: Tensor,
    ) -> Any:
        choice = original(cls_loss, reg_loss, assigned_gt_inds, labels, level, min_levels)
        is_kept = choice[2]  # (B * anchors of the level,) bool
        objects = torch.where(is_kept, assigned_gt_inds, BACKGROUND)
        self._check_choice(is_kept, assigned_gt_inds, min_levels, level)
        # Labels of anchors whose object chose another level still name it: look at the others.
        classes = self.head.num_classes
        target = torch.where(is_kept, labels, classes)
        expected = self.objects.class_of(objects)
        check_classes(f"{self.path}.loss_cls", target, expected, classes=classes)
        self.count_witnessed("loss_cls", int((objects >= 0).sum()))
        levels = torch.full_like(objects, self.level(level))
        self.show("loss_cls", cls_loss, objects, levels)
        self.show("loss_bbox", reg_loss, objects, levels)
        return choice

    def _check_choice(
        self, is_kept: Tensor, assigned: Tensor, min_levels: Tensor, level: int
    ) -> None:
        """A class target cannot tell a dropped positive from a kept one: the chosen level can."""
        has_object = assigned >= 0
        has_object[has_object.clone()] = min_levels[assigned[has_object]] == level
        if not torch.equal(is_kept, has_object):
            raise FpnProbeError(
                f"{self.path}: {int((is_kept != has_object).sum())} anchors are positive at a "
                "level that their object did not choose, or the other way round: this head needs "
                "an adapter of its own"
            )
