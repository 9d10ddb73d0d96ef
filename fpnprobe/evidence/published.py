"""The paper's printed numbers (`published.json`, in percent), read as testable claims.

Every claim is a difference between two variants of one framework that one table or figure prints.
For Faster R-CNN R101-FPN the paper has two baselines that contradict each other: 39.5 AP in Figure
3 and Tables 1 and 2, and the model zoo's 39.4 AP (AP_S 22.4 instead of 23.6) in Table 3. Each
table's numbers are compared among themselves alone.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

METRICS = ("AP", "AP_S", "AP_M", "AP_L")
_NAMES = {
    "faster_rcnn": "Faster R-CNN", "retinanet": "RetinaNet", "freeanchor": "FreeAnchor",
    "free_anchor": "FreeAnchor", "atss": "ATSS", "mask_rcnn": "Mask R-CNN",
    "cascade_rcnn": "Cascade R-CNN", "cascade_mask_rcnn": "Cascade Mask R-CNN", "fcos": "FCOS",
    "sparse_rcnn": "Sparse R-CNN", "fsaf": "FSAF",
}  # fmt: skip


@cache
def numbers() -> Mapping[str, Any]:
    """The whole file: Figures 1 and 3, Tables 1 to 4, the training setting."""
    text = (files("fpnprobe.evidence") / "published.json").read_text(encoding="utf-8")
    content: Mapping[str, Any] = json.loads(text)
    return content


def describe_row(variant: str, row: Mapping[str, Any]) -> str:
    """Write a variant's printed AP as text, without the metrics that the paper left out.

    >>> describe_row("FPN", {"AP": 41.5, "AP_S": None, "AP_L": 53.5})
    'FPN AP 41.5 AP_L 53.5'
    """
    printed = [f"{metric} {row[metric]}" for metric in METRICS if row.get(metric) is not None]
    return " ".join([variant, *printed])


def framework_text(table: str, detector: str, backbone: str) -> str:
    """Write what Table 3 or 4 prints of a framework, without and with feature grouping.

    >>> framework_text("table4", "Mask R-CNN", "Swin-T")
    'FPN AP 39.3 AP_S 20.5 AP_M 41.8 AP_L 57.8; FPN-CFG3 AP 41.4 AP_S 21.9 AP_M 44.6 AP_L 58.8'
    """
    row = next(
        row
        for row in numbers()[table]["rows"]
        if (row["detector"], row["backbone"]) == (detector, backbone)
    )
    return "; ".join(
        describe_row(name, row[key]) for name, key in (("FPN", "baseline"), ("FPN-CFG3", "cfg"))
    )


def detector_name(framework: str) -> str:
    """The paper's name of a framework key or mmdet config name; empty if it has none.

    >>> detector_name("faster_rcnn"), detector_name("mask-rcnn_r101_fpn_1x_coco")
    ('Faster R-CNN', 'Mask R-CNN')
    """
    key = framework.rsplit("/", 1)[-1].lower().replace("-", "_")
    fits = [name for name in _NAMES if key.startswith(name)]
    return _NAMES[max(fits, key=len)] if fits else ""


def backbone_kin(name: str) -> str:
    """Name the paper's backbone that a config or backbone belongs to, where a detector has two.

    >>> [backbone_kin(n) for n in ("Swin-T", "cascade-mask-rcnn_x101-64x4d_fpn_ms-3x_coco", "R50")]
    ['Swin', 'ResNeXt', 'ResNet']
    """
    key = name.lower()
    if "swin" in key:
        return "Swin"
    return "ResNeXt" if "x101" in key or "resnext" in key else "ResNet"
