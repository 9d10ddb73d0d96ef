"""FreeAnchor's head with uncertainty: its loss is of bags of anchors, not of predictions."""

from typing import Any

import torch
from mmdet.models.dense_heads import FreeAnchorRetinaHead
from mmengine.registry import MODELS
from torch import Tensor

from fpnprobe.methods import UncertaintyOptions
from fpnprobe.mm.auxiliary.uncertain_loss import HeadScores, Part


@MODELS.register_module()
class UncertainFreeAnchorHead(FreeAnchorRetinaHead):
    """exp(-a) L^ + tau a for the bags of FreeAnchor, on a single level.

    The negative bag has a term for each anchor, which takes the uncertainty of that anchor's
    classification. The positive bag of an object joins many anchors in one likelihood, so it takes
    one uncertainty from the mean w . x + b of the boxes of its image.
    """

    def __init__(self, *arguments: Any, **config: Any) -> None:
        super().__init__(*arguments, **config)
        self.options = UncertaintyOptions()
        self.shared = HeadScores()

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        gts: list[Any],
        *arguments: Any,
        **more: Any,
    ) -> dict[str, Tensor]:
        """FreeAnchor's losses, with the bags below."""
        self._objects = sum(len(gt) for gt in gts)
        boxes = self.shared.scores["regression"].view(len(gts), -1).mean(dim=1)
        self._images: list[Tensor] = list(boxes)  # one call of the positive bag an image, in order
        self.shared.weighed_parts.update(("classification", "regression"))
        losses: dict[str, Tensor] = super().loss_by_feat(
            cls_scores, bbox_preds, gts, *arguments, **more
        )
        if not self._objects:
            losses["positive_bag_loss"] = losses["positive_bag_loss"] + 0 * boxes.sum()
        return losses

    def positive_bag_loss(self, matched_cls_prob: Tensor, matched_box_prob: Tensor) -> Tensor:
        """Return the rows (objects,), divided by the number of objects later."""
        score: Tensor = self._images.pop(0)
        rows: Tensor = super().positive_bag_loss(matched_cls_prob, matched_box_prob)
        return self._weigh_divided(
            "regression", rows, score.expand(len(rows)), divided_later=len(rows)
        )

    def negative_bag_loss(self, cls_prob: Tensor, box_prob: Tensor) -> Tensor:
        """Return the rows (B, anchors, classes), divided by objects x bag size later."""
        rows: Tensor = super().negative_bag_loss(cls_prob, box_prob)
        flat = self._weigh_divided(
            "classification",
            rows.flatten(0, 1),
            self.shared.scores["classification"],
            divided_later=self._objects * int(self.pre_anchor_topk),
        )
        return flat.view_as(rows)

    def _weigh_divided(
        self, loss_part: Part, rows: Tensor, scores: Tensor, *, divided_later: int
    ) -> Tensor:
        divisor = max(1, divided_later)
        factors = torch.full_like(scores, 1 / divisor)
        weighed = self.shared.weigh(
            loss_part, rows / divisor, scores, factors=factors, options=self.options
        )
        return weighed * divisor
