"""FreeAnchor: one bag of anchors for each object, and one negative loss for the rest.

Row i of an image's positive bag loss is its object i. The negative bag loss is background, every
row of it one image, although its weights depend (detached) on how well anchors overlap objects.
The box loss inside a bag is not a term of its own: it enters through exp and log. Bags mix
levels, so rows have none.
"""

from typing import Any

import torch
from mmdet.models.dense_heads import FreeAnchorRetinaHead
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.adapter import HeadAdapter
from fpnprobe.mm.adapters.objects import BACKGROUND
from fpnprobe.mm.adapters.registry import register_head


@register_head(FreeAnchorRetinaHead)
class FreeAnchorAdapter(HeadAdapter):
    """Rows are bags, which are objects; and images."""

    def attach(self) -> None:
        """Wrap the two bag losses."""
        self._image = 0
        self.wrap("loss_by_feat", self._around_loss)
        self.wrap("positive_loss_single", self._around_image)
        self.wrap("positive_bag_loss", self._around_positive)
        self.wrap("negative_bag_loss", self._around_negative)

    def _around_loss(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        self._image = 0
        self.mute(self.head.loss_bbox)
        return original(*args, **kwargs)

    def _around_image(
        self, original: Any, cls_prob: Tensor, bbox_pred: Tensor, anchors: Tensor, truth: Any
    ) -> Any:
        classes = self.objects.class_of(self.objects.of_image(self._image))
        if not torch.equal(classes.to(truth.labels.device), truth.labels):
            raise FpnProbeError(
                f"{self.path}: the objects of image {self._image} are not in the order of its "
                "annotations: this head needs an adapter of its own"
            )
        bag_loss = original(cls_prob, bbox_pred, anchors, truth)
        self._image += 1
        return bag_loss

    def _around_positive(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        rows = original(*args, **kwargs)  # (objects of the image,)
        self.show("positive_bag_loss", rows, self.objects.of_image(self._image))
        self.count_witnessed("positive_bag_loss", len(rows))  # compared by `_around_image`
        return rows

    def _around_negative(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        rows = original(*args, **kwargs)  # (B, anchors, classes)
        background = torch.full((len(rows),), BACKGROUND, device=rows.device)
        self.show("negative_bag_loss", rows, background)
        return rows
