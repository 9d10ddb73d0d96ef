"""Reads loss term and auxiliary stage from the path of a module in its detector."""

import re

_AUXILIARY = re.compile(r"(?:^|\.)auxiliary_heads\.(\d+)(?:\.|$)")
_STAGE = re.compile(r"(?:^|\.)roi_head\.(?:.*\.)?bbox_head\.(\d+)(?:\.|$)")


def auxiliary_stage(path: str) -> int | None:
    """Stage number of the auxiliary head that a module is part of, or None.

    >>> auxiliary_stage("auxiliary_heads.3.bbox_head.loss_cls")
    3
    """
    match = _AUXILIARY.search(path)
    return int(match[1]) if match else None


def term_of(path: str) -> str:
    """Loss term of a head by its path.

    >>> [term_of(p) for p in ("rpn_head", "roi_head.bbox_head", "roi_head.bbox_head.1")]
    ['rpn', 'roi', 'roi_s1']
    >>> [term_of(p) for p in ("roi_head.mask_head.0", "bbox_head", "auxiliary_heads.2.bbox_head")]
    ['mask', 'dense', 'aux2']
    """
    names = path.split(".")
    stage = auxiliary_stage(path)
    if stage is not None:
        return f"aux{stage}"
    if "rpn_head" in names:
        return "rpn"
    if "mask_head" in names:
        return "mask"
    match = _STAGE.search(path)
    if match:
        return f"roi_s{match[1]}"
    return "roi" if "roi_head" in names else "dense"
