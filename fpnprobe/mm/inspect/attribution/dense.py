"""Dense detectors: the class logit at the prior that fired."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.utils import select_single_mlvl
from torch import Tensor

from fpnprobe.attribution.chain import Levels
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.assign_priors import assigned_objects
from fpnprobe.mm.inspect.attribution.target import DetectorReadout, Target

_SAME_BOX = 1e-2  # px: a detection is a decoded box, copied


class PriorReadout(DetectorReadout):
    """Reads `head(pyramid)[level][class, anchor, y, x]`, anchors and points alike.

    A detection's prior is the one whose decoded box it is (of equals, the one with the highest
    class score); an object's prior is the one, of those its assigner gives it, with the highest
    score of its class.
    """

    def __init__(self, *, head: BaseDenseHead, names: Sequence[str]) -> None:
        if not isinstance(head, BaseDenseHead) or not hasattr(head, "prior_generator"):
            raise FpnProbeError(
                f"no attribution for {type(head).__name__}: expected a dense head with priors "
                "(RetinaNet, FCOS, ATSS and their kin) or a two-stage detector"
            )
        super().__init__(names)
        self.head = head

    def logits(self, pyramid: Levels, example: Tensor, sources: Tensor, labels: Tensor) -> Tensor:
        """See `DetectorReadout.logits`."""
        flat = torch.cat(
            self._flatten_maps(self.head(pyramid)[0], self.head.cls_out_channels), dim=1
        )
        return flat[example, sources, labels]  # from (B, N, classes)

    @torch.no_grad()
    def detections(self, pyramid: Levels, meta: dict[str, Any]) -> list[Target]:
        """See `DetectorReadout.detections`."""
        outputs = self.head(pyramid)
        (predicted,) = self.head.predict_by_feat(*outputs, batch_img_metas=[meta], rescale=False)
        if not len(predicted):
            return []
        scores, boxes, level = self._list_priors(outputs, meta)
        targets = []
        for i, (box, label) in enumerate(zip(predicted.bboxes, predicted.labels, strict=True)):
            distance = (boxes - box).abs().amax(1)
            nearest = distance.min()
            if nearest > _SAME_BOX:
                raise FpnProbeError(
                    f"no prior of {type(self.head).__name__} explains detection {i} (nearest box "
                    f"{nearest:.2f} px away): the head changes boxes after decoding"
                )
            equal = (distance <= nearest).nonzero()[:, 0]
            prior = equal[scores[equal, label].argmax()]
            targets.append(
                Target(
                    kind="detection",
                    index=i,
                    sources=prior[None],
                    labels=label[None],
                    box=box,
                    level=self.names[int(level[prior])],
                    score=float(predicted.scores[i]),
                )
            )
        return targets

    @torch.no_grad()
    def objects(
        self, pyramid: Levels, meta: dict[str, Any], boxes: Tensor, labels: Tensor, ids: list[int]
    ) -> list[Target]:
        """See `DetectorReadout.objects`."""
        outputs = self.head(pyramid)
        scores, _, level = self._list_priors(outputs, meta)
        sizes = [output.shape[-2:] for output in outputs[0]]
        owner = assigned_objects(self.head, sizes, boxes=boxes, labels=labels)
        targets = []
        for i, index in enumerate(ids):
            priors = (owner == i).nonzero()[:, 0]
            if not len(priors):
                continue  # too small or too crowded for any prior: the detector never learns it
            prior = priors[scores[priors, labels[i]].argmax()]
            targets.append(
                Target(
                    kind="object",
                    index=index,
                    sources=prior[None],
                    labels=labels[i : i + 1],
                    box=boxes[i],
                    level=self.names[int(level[prior])],
                )
            )
        return targets

    def _list_priors(
        self, outputs: tuple[list[Tensor], ...], meta: dict[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits `(N, classes)`, decoded boxes `(N, 4)` and level `(N,)` of every prior."""
        maps = outputs[0]
        priors = self.head.prior_generator.grid_priors(
            [level_map.shape[-2:] for level_map in maps], dtype=maps[0].dtype, device=maps[0].device
        )
        coder = self.head.bbox_coder
        deltas = self._flatten_maps(select_single_mlvl(outputs[1], 0), coder.encode_size)
        logits = self._flatten_maps(select_single_mlvl(maps, 0), self.head.cls_out_channels)
        boxes = coder.decode(
            torch.cat(priors), torch.cat(deltas, dim=1)[0], max_shape=meta["img_shape"]
        )
        level = torch.cat([torch.full((len(p),), i) for i, p in enumerate(priors)])
        return torch.cat(logits, dim=1)[0], boxes, level.to(boxes.device)

    @staticmethod
    def _flatten_maps(maps: Sequence[Tensor], channels: int) -> list[Tensor]:
        """`(B, A * channels, H, W)` to `(B, H * W * A, channels)`, mmdet's order of priors."""
        batched = [level_map if level_map.dim() == 4 else level_map[None] for level_map in maps]
        return [
            level_map.permute(0, 2, 3, 1).reshape(len(level_map), -1, channels)
            for level_map in batched
        ]
