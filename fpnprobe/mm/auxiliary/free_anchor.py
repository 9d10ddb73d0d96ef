"""FreeAnchor's head with uncertainty: its loss is of bags of anchors, not of predictions."""

from typing import Any

import torch
from mmdet.models.dense_heads import FreeAnchorRetinaHead
from mmengine.registry import MODELS
from torch import Tensor

from fpnprobe.mm.auxiliary.uncertain_loss import Rows


@MODELS.register_module()
class UncertainFreeAnchorHead(FreeAnchorRetinaHead):
    """exp(-a) L^ + tau a for the bags of FreeAnchor, on a single level.

    The negative bag has a term for each anchor, which takes the uncertainty of that anchor's
    classification. The positive bag of an object joins many anchors in one likelihood, so it takes
    the mean uncertainty of the boxes of its image. tau multiplies means of `a`, as everywhere.
    """

    def __init__(self, *arguments: Any, **config: Any) -> None:
        super().__init__(*arguments, **config)
        self.tau = 0.0
        self.shared = Rows()

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        gts: list[Any],
        *rest: Any,
        **more: Any,
    ) -> dict[str, Tensor]:
        """FreeAnchor's losses, with the bags below."""
        self._objects = sum(len(gt) for gt in gts)
        boxes = self.shared.a["regression"].view(len(gts), -1).mean(dim=1)
        self._images: list[Tensor] = list(boxes)  # one call of the positive bag an image, in order
        self.shared.used.update(("classification", "regression"))
        losses: dict[str, Tensor] = super().loss_by_feat(cls_scores, bbox_preds, gts, *rest, **more)
        if not self._objects:
            losses["positive_bag_loss"] = losses["positive_bag_loss"] + 0 * boxes.sum()
        return losses

    def positive_bag_loss(self, matched_cls_prob: Tensor, matched_box_prob: Tensor) -> Tensor:
        """Rows (objects,), divided by the number of objects later."""
        a: Tensor = self._images.pop(0)
        rows: Tensor = super().positive_bag_loss(matched_cls_prob, matched_box_prob)
        return torch.exp(-a) * rows + self.tau * a

    def negative_bag_loss(self, cls_prob: Tensor, box_prob: Tensor) -> Tensor:
        """Rows (B, anchors, classes), divided by objects x bag size later."""
        a = self.shared.a["classification"].view(*cls_prob.shape[:2], 1)
        rows: Tensor = super().negative_bag_loss(cls_prob, box_prob)
        divided_later = max(1, self._objects * int(self.pre_anchor_topk))
        return torch.exp(-a) * rows + self.tau * a * divided_later / rows.numel()
