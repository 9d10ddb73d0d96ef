"""Sparse R-CNN: the class logit of one learned query, its RoIs of all stages held fixed.

Its heads normalize what they pool, so the logit hardly changes while the maps are scaled down, and
jumps next to zero: integrated gradients, whose path goes there, miss that jump and have a large
residual (1 of a logit with random weights). The column `residual` says so; `activation_x_gradient`
and `grad_cam` need no path.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.roi_heads import SparseRoIHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor

from fpnprobe.attribution.chain import Levels
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.target import DetectorReadout, Target


class QueryReadout(DetectorReadout):
    """Reads the last stage's class logits of a query, `(B, N, classes)[example, query, class]`.

    All N queries of an image look at each other in every stage, so the RoIs of all of them are
    part of a source: it is the number of the query, then x1, y1, x2, y2 of N RoIs for each of the
    S stages, `(1 + 4 N S,)`. A detection's query is the one whose box it is; an object's is the one
    that the last stage's assigner matches with it.
    """

    def __init__(self, *, rpn_head: Any, roi_head: SparseRoIHead, names: Sequence[str]) -> None:
        super().__init__(names)
        self.rpn_head = rpn_head
        self.roi_head = roi_head

    def logits(self, pyramid: Levels, example: Tensor, sources: Tensor, labels: Tensor) -> Tensor:
        """See `DetectorReadout.logits`."""
        first = [int((example == i).nonzero()[0]) for i in range(int(example.max()) + 1)]
        stages = self.roi_head.num_stages
        rois = sources[first, 1:].reshape(len(first), stages, -1, 4)
        features = self._learned_queries().expand(len(first), -1, -1)
        scores = features
        for stage in range(stages):
            pooled = self._pool_features(stage, pyramid, list(rois[:, stage]))
            scores, _, features, _ = self.roi_head.bbox_head[stage](pooled, features)
        return scores[example, sources[:, 0].long(), labels]

    @torch.no_grad()
    def detections(self, pyramid: Levels, meta: dict[str, Any]) -> list[Target]:
        """See `DetectorReadout.detections`."""
        rois, boxes, logits = self._refine_boxes(pyramid, meta)
        last = self.roi_head.bbox_head[-1]
        scores = logits.sigmoid() if last.loss_cls.use_sigmoid else logits.softmax(-1)[:, :-1]
        count = min(self.roi_head.test_cfg.max_per_img, scores.numel())
        best, places = scores.flatten().topk(count)
        queries, labels = places // scores.shape[1], places % scores.shape[1]
        return [
            self._make_target(
                "detection", i, rois, int(queries[i]), labels[i], boxes[queries[i]], score
            )
            for i, score in enumerate(best.tolist())
        ]

    @torch.no_grad()
    def objects(
        self, pyramid: Levels, meta: dict[str, Any], boxes: Tensor, labels: Tensor, ids: list[int]
    ) -> list[Target]:
        """See `DetectorReadout.objects`."""
        if not getattr(self.roi_head, "bbox_assigner", None):
            raise FpnProbeError(
                f"{type(self.roi_head).__name__} has no train_cfg, whose assigner says which query "
                "an object is learned by: attribute detections instead"
            )
        rois, predicted, logits = self._refine_boxes(pyramid, meta)
        matched = self.roi_head.bbox_assigner[-1].assign(
            pred_instances=InstanceData(bboxes=predicted, scores=logits, priors=predicted),
            gt_instances=InstanceData(bboxes=boxes, labels=labels),
            gt_instances_ignore=None,
            img_meta=meta,
        )
        targets = []
        for i, index in enumerate(ids):
            query = (matched.gt_inds == i + 1).nonzero()
            if len(query):  # there may be more objects than queries
                targets.append(
                    self._make_target("object", index, rois, int(query[0]), labels[i], boxes[i])
                )
        return targets

    def _refine_boxes(self, pyramid: Levels, meta: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """RoIs `(S, N, 4)`, the last boxes `(N, 4)` and the last logits of one image's queries."""
        (proposals,) = self.rpn_head.predict(pyramid, [DetDataSample(metainfo=meta)])
        boxes, features, rois, stage_output = proposals.bboxes, proposals.features[None], [], {}
        for stage in range(self.roi_head.num_stages):
            rois.append(boxes)
            stage_output = self.roi_head._bbox_forward(
                stage, pyramid, bbox2roi([boxes]), features, [meta]
            )
            boxes, features = stage_output["detached_proposals"][0], stage_output["object_feats"]
        return torch.stack(rois), boxes, stage_output["cls_score"][0]

    def _learned_queries(self) -> Tensor:
        """Features of the queries before they have seen an image, `(N, C)`."""
        learned: Tensor = self.rpn_head.init_proposal_features.weight
        return learned

    def _pool_features(self, stage: int, pyramid: Levels, rois: list[Tensor]) -> Tensor:
        extractor = self.roi_head.bbox_roi_extractor[stage]
        pooled: Tensor = extractor(pyramid[: extractor.num_inputs], bbox2roi(rois))
        return pooled

    def _make_target(
        self,
        kind: Any,
        index: int,
        rois: Tensor,
        query: int,
        label: Tensor,
        box: Tensor,
        score: float = float("nan"),
    ) -> Target:
        extractor = self.roi_head.bbox_roi_extractor[-1]
        last = bbox2roi([rois[-1, query : query + 1]])
        level = int(extractor.map_roi_levels(last, extractor.num_inputs))
        return Target(
            kind=kind,
            index=index,
            sources=torch.cat([rois.new_tensor([query]), rois.flatten()])[None],
            labels=label[None],
            box=box,
            level=self.names[level],
            score=score,
        )
