"""Strides and anchors of a detector, and how one level takes over those of all levels."""

from collections.abc import Sequence
from typing import Any, Literal

from mmengine.config import ConfigDict

from fpnprobe.errors import FpnProbeError

UNBOUNDED = 100_000_000  # mmdet's own "infinity" of FCOS regression ranges, px


def first_level(neck: ConfigDict) -> int:
    """Return the index of the first backbone output from which the pyramid emits a level."""
    return int(neck.get("start_level", 0))


def level_strides(model: ConfigDict) -> tuple[float, ...]:
    """Return the strides of the pyramid levels in px, finest first, as the heads state them."""
    for head in (model.get("rpn_head"), model.get("bbox_head")):
        if head is None or not isinstance(head, dict):
            continue
        strides = head.get("anchor_generator", {}).get("strides") or head.get("strides")
        if strides:
            return tuple(float(max(s) if isinstance(s, Sequence) else s) for s in strides)
    extractor = model.get("roi_head", {}).get("bbox_roi_extractor")
    if extractor:
        return tuple(float(stride) for stride in extractor["featmap_strides"])
    raise FpnProbeError(
        f"detector {model.get('type')!r} states no strides: expected an anchor generator, "
        "`strides` of a point head, or `featmap_strides` of a RoI extractor"
    )


def stage_strides(model: ConfigDict) -> tuple[float, ...]:
    """Return the strides of the backbone outputs C2, C3, .. in px of an FPN-form detector."""
    neck = model.neck
    finest = level_strides(model)[0] / 2 ** first_level(neck)
    return tuple(finest * 2**i for i in range(len(neck.in_channels)))


def _as_number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


Anchors = Literal["all", "octave", "own"]
"""Which anchors one level has: see `one_level_anchors`."""


def one_level_anchors(generator: ConfigDict, stride: float, anchors: Anchors = "all") -> ConfigDict:
    """The anchor generator of one level of this `stride` that takes over from all levels.

    Anchor sizes are stride x scale, so level l contributes the scales stride_l x scale / stride.

    Args:
        generator: That of the pyramid.
        stride: Of the one level.
        anchors: `all` of the pyramid's sizes (45 anchors a location for RetinaNet), the first size
            of each level, an `octave` apart (15, as the RPN of mmdet's DC5 has), or the `own` ones
            of a level of this stride (9).

    >>> from mmengine.config import ConfigDict
    >>> rpn = ConfigDict(type="AnchorGenerator", scales=[8], ratios=[1.0], strides=[4, 8, 16])
    >>> one_level_anchors(rpn, 16)["scales"]
    [2, 4, 8]
    """
    if anchors == "own":
        return ConfigDict(generator, strides=[_as_number(stride)])
    result = ConfigDict(generator)
    base = result.pop("octave_base_scale", None)
    count = result.pop("scales_per_octave", None)
    scales = result.get("scales") or [base * 2 ** (i / count) for i in range(count)]
    scales_of_level = scales[:1] if anchors == "octave" else scales
    sizes = sorted({size * scale for size in generator["strides"] for scale in scales_of_level})
    result.scales = [_as_number(size / stride) for size in sizes]
    result.strides = [_as_number(stride)]
    return result


def one_level_head(head: ConfigDict, stride: float, anchors: Anchors = "all") -> ConfigDict:
    """A dense head (RPN, anchors or points) that predicts all its objects on one level.

    Anchor heads get the `anchors` of `one_level_anchors`, and an assigner that takes the `topk`
    nearest anchors of each level (ATSS) takes as many from the one level as it took from all.
    Point heads get one unbounded regression range. FSAF, whose one anchor a location stands for
    the grid itself, keeps one.
    """
    result = ConfigDict(head)
    if "anchor_generator" in head:
        generator = head.anchor_generator
        if "FSAF" in head.type:
            result.anchor_generator = ConfigDict(generator, strides=[_as_number(stride)])
        else:
            result.anchor_generator = one_level_anchors(generator, stride, anchors)
    else:
        result.strides = [_as_number(stride)]
        if "FCOS" in head.type:
            result.regress_ranges = ((-1, UNBOUNDED),)
    return result


def one_level_train_cfg(train_cfg: ConfigDict | None, levels: int) -> Any:
    """The training settings of a dense head whose `levels` are now one (see `one_level_head`)."""
    if not train_cfg or "topk" not in train_cfg.get("assigner", {}):
        return train_cfg
    result = ConfigDict(train_cfg)
    result.assigner = ConfigDict(train_cfg.assigner, topk=train_cfg.assigner.topk * levels)
    return result


def one_level_extractor(extractor: ConfigDict, stride: float) -> ConfigDict:
    """A RoI extractor that takes every RoI from one level."""
    return ConfigDict(extractor, featmap_strides=[_as_number(stride)])
