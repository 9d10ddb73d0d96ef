"""Sparse R-CNN: queries, matched one to one with objects at every stage."""

from typing import Any

import torch
from mmdet.models.roi_heads.bbox_heads import DIIHead

from fpnprobe.mm.adapters.adapter import HeadAdapter, sampling_results
from fpnprobe.mm.adapters.objects import BACKGROUND
from fpnprobe.mm.adapters.registry import register_head


@register_head(DIIHead)
class DIIAdapter(HeadAdapter):
    """Rows are the queries of each image, in their own order."""

    def attach(self) -> None:
        """Wrap the loss of a stage."""
        self.wrap("loss_and_target", self._around_loss)

    def _around_loss(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        per_image = []
        for image, sample in enumerate(sampling_results(args, kwargs)):
            image_objects = torch.full(
                (len(sample.pos_inds) + len(sample.neg_inds),),
                BACKGROUND,
                device=sample.pos_inds.device,
            )
            image_objects[sample.pos_inds] = self.objects.numbers(
                image, sample.pos_assigned_gt_inds
            )
            per_image.append(image_objects)
        objects = torch.cat(per_image)
        with self.rows(objects, self.roi_levels(len(objects))):
            return original(*args, **kwargs)
