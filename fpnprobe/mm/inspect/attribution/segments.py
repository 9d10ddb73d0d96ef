"""An mmdet detector as a chain of segments."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.roi_heads import SparseRoIHead
from torch import Tensor

from fpnprobe.attribution.chain import Chain, Levels
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.dense import PriorReadout
from fpnprobe.mm.inspect.attribution.queries import QueryReadout
from fpnprobe.mm.inspect.attribution.target import DetectorReadout
from fpnprobe.mm.inspect.attribution.two_stage import RoIReadout

_LAST = 5  # the last stage of every backbone is C5


def build_chain(detector: Any, image: Tensor, *, with_readout: bool = True) -> Chain:
    """Cut a detector into `backbone -> stages -> neck -> pyramid -> readout`.

    Stages are named from the last, C5, backward; pyramid levels by the binary logarithm of their
    stride (P2 has stride 4), a pyramid of a single level P5.

    Args:
        detector: An mmdet detector, two-stage (RoI head) or dense.
        image: One preprocessed image `(1, 3, H, W)`, run once to count the maps.
        with_readout: Whether class logits are read at the end; without, the chain gives its maps
            alone, and a detector whose head has no readout can be cut too.

    Raises:
        FpnProbeError: For a detector that has no feature maps or an unknown head.
    """
    for part in ("backbone", "extract_feat"):
        if not hasattr(detector, part):
            raise FpnProbeError(
                f"{type(detector).__name__} has no {part}: expected an mmdet detector"
            )
    neck = detector.neck if getattr(detector, "with_neck", False) else None
    training = detector.training
    detector.eval()
    try:
        with torch.no_grad():
            stages = detector.backbone(image)
            pyramid = stages if neck is None else neck(stages)
    finally:
        detector.train(training)
    stage_names = [f"C{_LAST - len(stages) + 1 + i}" for i in range(len(stages))]
    names = _level_names(detector, len(pyramid)) if neck is not None else stage_names
    return Chain(
        detector.backbone,
        neck=neck,
        readout=_make_readout(detector, names) if with_readout else _refuse_readout,
        stages=stage_names,
        levels=names,
    )


def _refuse_readout(pyramid: Levels, ids: Tensor) -> Tensor:  # noqa: ARG001 - as Readout
    raise FpnProbeError("this chain was built for its feature maps alone: it reads no logits")


def _make_readout(detector: Any, names: Sequence[str]) -> DetectorReadout:
    if getattr(detector, "roi_head", None) is not None:
        if getattr(detector, "rpn_head", None) is None:
            raise FpnProbeError(
                f"{type(detector).__name__} has no RPN: expected proposals to come from the model"
            )
        if isinstance(detector.roi_head, SparseRoIHead):
            return QueryReadout(rpn_head=detector.rpn_head, roi_head=detector.roi_head, names=names)
        return RoIReadout(rpn_head=detector.rpn_head, roi_head=detector.roi_head, names=names)
    if getattr(detector, "bbox_head", None) is None:
        raise FpnProbeError(
            f"{type(detector).__name__} has neither a RoI head nor a dense head: "
            "expected a two-stage or a one-stage detector with a pyramid"
        )
    return PriorReadout(head=detector.bbox_head, names=names)


def _level_names(detector: Any, count: int) -> list[str]:
    """Name the pyramid's levels by the strides that the detector's head has for them."""
    if count == 1:
        return [f"P{_LAST}"]
    strides = _pyramid_strides(detector)
    if len(strides) != count:
        raise FpnProbeError(
            f"{type(detector).__name__} has no pyramid that its head describes: {count} maps, "
            f"{len(strides)} strides in the head's prior generator or RoI extractor"
        )
    return [f"P{round(math.log2(stride))}" for stride in strides]


def _pyramid_strides(detector: Any) -> list[float]:
    """List the strides of the pyramid's levels, P2 first; empty where no head knows them.

    A head with priors (anchors or points) has one for each level. The proposals of Sparse R-CNN
    are learned and have none, but its RoI extractors know the strides that they pool from.
    """
    head = getattr(detector, "rpn_head", None) or getattr(detector, "bbox_head", None)
    strides = getattr(getattr(head, "prior_generator", None), "strides", None)
    if strides is not None:
        return [
            float(level_stride[0] if isinstance(level_stride, Sequence) else level_stride)
            for level_stride in strides
        ]
    extractor = getattr(getattr(detector, "roi_head", None), "bbox_roi_extractor", None)
    if isinstance(extractor, torch.nn.ModuleList):  # a cascade has one for each of its stages
        extractor = extractor[0]
    return [float(stride) for stride in getattr(extractor, "featmap_strides", ())]
