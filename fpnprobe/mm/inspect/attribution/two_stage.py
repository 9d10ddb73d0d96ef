"""Two-stage detectors: the class logit of one RoI, through RoIAlign, the RoI held fixed."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from torch import Tensor

from fpnprobe.attribution.chain import Levels
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.target import DetectorReadout, Target


class RoIReadout(DetectorReadout):
    """Reads `bbox_head(RoIAlign(pyramid, roi))[class]`.

    The RoI is the proposal that became the detection; for a ground-truth object it is its box. In
    a cascade the RoI is the one the last stage sees and the logit is the last stage's.
    """

    def __init__(self, *, rpn_head: Any, roi_head: Any, names: Sequence[str]) -> None:
        if not isinstance(roi_head, StandardRoIHead | CascadeRoIHead):
            raise FpnProbeError(
                f"no attribution for {type(roi_head).__name__}: expected a StandardRoIHead, "
                "CascadeRoIHead or SparseRoIHead (Faster, Mask, Cascade and Sparse R-CNN)"
            )
        super().__init__(names)
        self.rpn_head = rpn_head
        self.roi_head = roi_head
        self.cascade = isinstance(roi_head, CascadeRoIHead)

    def logits(self, pyramid: Levels, example: Tensor, sources: Tensor, labels: Tensor) -> Tensor:
        """See `DetectorReadout.logits`."""
        rois = torch.cat([example[:, None].to(sources.dtype), sources], dim=1)
        last = (self.roi_head.num_stages - 1,) if self.cascade else ()
        scores: Tensor = self.roi_head._bbox_forward(*last, pyramid, rois)["cls_score"]
        return scores[torch.arange(len(labels), device=labels.device), labels]

    @torch.no_grad()
    def detections(self, pyramid: Levels, meta: dict[str, Any]) -> list[Target]:
        """See `DetectorReadout.detections`."""
        proposals = self.rpn_head.predict(pyramid, [DetDataSample(metainfo=meta)], rescale=False)
        rois = bbox2roi([proposal.bboxes for proposal in proposals])
        if not len(rois):
            return []
        if self.cascade:
            rois, scores, deltas = self.roi_head._refine_roi(pyramid, rois, [meta], (len(rois),))
            rois, scores, deltas, head = rois[0], scores[0], deltas[0], self.roi_head.bbox_head[-1]
        else:
            box_outputs = self.roi_head._bbox_forward(pyramid, rois)
            scores, deltas, head = (
                box_outputs["cls_score"],
                box_outputs["bbox_pred"],
                self.roi_head.bbox_head,
            )
        raw = head._predict_by_feat_single(rois, scores, deltas, meta)
        cfg = self.roi_head.test_cfg
        boxes, labels, kept_indices = multiclass_nms(
            raw.bboxes, raw.scores, cfg.score_thr, cfg.nms, cfg.max_per_img, return_inds=True
        )
        sources = rois[kept_indices // (raw.scores.shape[1] - 1), 1:]
        levels = self.mapped(sources)
        return [
            Target(
                kind="detection",
                index=i,
                sources=sources[i : i + 1],
                labels=labels[i : i + 1],
                box=boxes[i, :4],
                level=levels[i],
                score=float(boxes[i, 4]),
            )
            for i in range(len(labels))
        ]

    def objects(
        self, pyramid: Levels, meta: dict[str, Any], boxes: Tensor, labels: Tensor, ids: list[int]
    ) -> list[Target]:
        """See `DetectorReadout.objects`; maps and metainfo play no part here."""
        del pyramid, meta
        levels = self.mapped(boxes)
        return [
            Target(
                kind="object",
                index=ids[i],
                sources=boxes[i : i + 1],
                labels=labels[i : i + 1],
                box=boxes[i],
                level=levels[i],
            )
            for i in range(len(ids))
        ]

    def mapped(self, boxes: Tensor) -> list[str]:
        """Names of the levels that the RoI extractor pools boxes `(K, 4)` from."""
        extractor = self.roi_head.bbox_roi_extractor
        if self.cascade:
            extractor = extractor[-1]
        if extractor.num_inputs == 1:
            return [self.names[0]] * len(boxes)
        rois = torch.cat([boxes.new_zeros(len(boxes), 1), boxes], dim=1)
        levels = extractor.map_roi_levels(rois, extractor.num_inputs)
        return [self.names[int(level)] for level in levels]
