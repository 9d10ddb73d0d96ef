"""The loss of one bucket by brute force: the head's own loss, with the other rows weighted zero.

Nothing here knows an adapter or a sampling result. Every object of the batch has a class of its
own, so a class target names the object; where heads do not tell classes apart (RPN), the box that
the regression target decodes to names it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmdet.models.dense_heads import FreeAnchorRetinaHead, FSAFHead
from torch import Tensor
from torch.nn import functional as F

from tests.mm.adapters.frameworks import CLASSES, bucket_of

BACKGROUND = 3


def classes_to_buckets(samples: Any) -> Tensor:
    """Bucket of each class; classes that no object has are background."""
    table = torch.full((CLASSES + 1,), BACKGROUND)
    for sample in samples:
        truth = sample.gt_instances
        assert len(set(truth.labels.tolist())) == len(truth.labels)
        table[truth.labels] = bucket_of(truth.areas)
    return table


@contextmanager
def only(detector: Any, label: int, samples: Any) -> Iterator[None]:
    """Inside, the detector's loss is that of the rows with this label."""
    table = classes_to_buckets(samples)
    with ExitStack() as undo:

        def patch(owner: Any, name: str, function: Any) -> None:
            vars(owner)[name] = function
            undo.callback(vars(owner).pop, name)

        for path, head in detector.named_modules():
            last = path.rpartition(".")[2]
            if isinstance(head, FSAFHead):
                patch(head, "reweight_loss_single", _fsaf(label, table))
            elif isinstance(head, FreeAnchorRetinaHead):
                _free_anchor(head, label, table, patch)
            elif last == "rpn_head" and hasattr(head, "loss_cls"):
                original = head.loss_by_feat_single
                patch(head, "loss_by_feat_single", _rpn(head, original, label, samples))
            elif hasattr(head, "loss_mask"):
                patch(head.loss_mask, "forward", _mask(head.loss_mask, label, table))
            elif hasattr(head, "loss_cls"):
                _weighted(head, label, table, patch)
        yield


_BOXES = ("loss_bbox", "loss_centerness", "loss_iou")


def _weighted(head: Any, label: int, table: Tensor, patch: Any) -> None:
    """Class target names the object; box calls have the same rows, or those with an object."""
    kept: dict[str, Tensor] = {}

    def remember(target: Tensor) -> None:
        kept["all"] = table[target] == label
        kept["objects"] = kept["all"][target < CLASSES]

    def mask(count: int, like: Tensor) -> Tensor:
        found = kept["all"] if count == len(kept["all"]) else kept["objects"]
        return found.float().reshape(-1, *[1] * (like.dim() - 1))

    def rows(unreduced: Tensor) -> Tensor:
        return unreduced * mask(len(unreduced), unreduced)

    def classify(pred: Tensor, target: Tensor, weight: Any = None, **more: Any) -> Any:
        remember(target)
        if hasattr(head.loss_cls, "rows"):  # it shows its rows, with all that is in them
            return own_classify(pred, target, weight, **more)
        weight = torch.ones(len(pred)) if weight is None else weight
        return own_classify(pred, target, weight * mask(len(pred), weight), **more)

    own_classify = head.loss_cls.forward
    patch(head.loss_cls, "forward", classify)
    for name in ("loss_cls", *_BOXES):
        module: Any = getattr(head, name, None)
        if hasattr(module, "rows"):
            patch(module.rows, "forward", rows)
        elif name in _BOXES and module is not None:

            def regress(
                pred: Tensor,
                target: Tensor,
                weight: Any = None,
                own: Any = module.forward,
                **more: Any,
            ) -> Any:
                weight = torch.ones(len(pred)) if weight is None else weight
                return own(pred, target, weight * mask(len(pred), weight), **more)

            patch(module, "forward", regress)


def _rpn(head: Any, original: Any, label: int, samples: Any) -> Any:
    def single(
        cls_score: Tensor,
        bbox_pred: Tensor,
        anchors: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        bbox_weights: Tensor,
        avg_factor: int,
    ) -> Any:
        mask = torch.zeros_like(label_weights)
        for image, sample in enumerate(samples):
            truth = sample.gt_instances
            boxes = head.bbox_coder.decode(anchors[image], bbox_targets[image])
            found = torch.full((len(boxes),), BACKGROUND)
            if len(truth):
                distance = (boxes[:, None] - truth.bboxes[None]).abs().sum(-1)
                found = bucket_of(truth.areas)[distance.argmin(1)]
                found[labels[image] == 1] = BACKGROUND
            mask[image] = (found == label).float()
        return original(
            cls_score,
            bbox_pred,
            anchors,
            labels,
            label_weights * mask,
            bbox_targets,
            bbox_weights * mask[..., None],
            avg_factor=avg_factor,
        )

    return single


def _mask(module: Any, label: int, table: Tensor) -> Any:
    def forward(pred: Tensor, target: Tensor, classes: Tensor) -> Tensor:
        chosen = pred[torch.arange(len(pred)), classes]
        losses = F.binary_cross_entropy_with_logits(chosen, target, reduction="none")
        kept = (table[classes] == label).float()[:, None, None]
        found: Tensor = module.loss_weight * (losses * kept).sum() / losses.numel()
        return found

    return forward


def _fsaf(label: int, table: Tensor) -> Any:
    """Anchors whose object chose another level are background, without their own class's loss."""

    def reweight(
        cls_loss: Tensor,
        reg_loss: Tensor,
        assigned: Tensor,
        labels: Tensor,
        level: int,
        min_levels: Tensor,
    ) -> Any:
        has_object = assigned >= 0
        chosen = has_object.clone()
        chosen[has_object] = min_levels[assigned[has_object]] == level
        dropped = has_object & ~chosen
        weight = torch.ones_like(cls_loss)
        weight[dropped, labels[dropped]] = 0
        found = torch.where(chosen, table[labels], BACKGROUND)
        kept = (found == label).float()
        classify = (cls_loss * weight * kept[:, None]).sum()
        regress = (reg_loss * (~dropped).float() * kept).sum()
        return classify, regress, chosen

    return reweight


def _free_anchor(head: Any, label: int, table: Tensor, patch: Any) -> None:
    """Bags of the bucket's objects alone, the negative loss for the background alone."""
    single, negative = head.positive_loss_single, head.negative_bag_loss

    def positive(cls_prob: Tensor, bbox_pred: Tensor, anchors: Tensor, truth: Any) -> Any:
        probabilities, _, count = single(cls_prob, bbox_pred, anchors, truth)
        kept = truth[table[truth.labels] == label]
        losses = single(cls_prob, bbox_pred, anchors, kept)[1] if len(kept) else cls_prob[:0, 0]
        return probabilities, losses, count

    patch(head, "positive_loss_single", positive)
    patch(head, "negative_bag_loss", lambda *args: negative(*args) * float(label == BACKGROUND))
