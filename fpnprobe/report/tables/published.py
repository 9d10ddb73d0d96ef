"""The paper's printed numbers, in percent, as tables that join with measurements."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from fpnprobe.evidence.published import backbone_kin, detector_name, numbers

__all__ = [
    "METRICS",
    "backbone",
    "backbone_kin",
    "backbone_name",
    "by_variant",
    "detector",
    "figure1",
    "notes",
    "numbers",
]

METRICS = ("AP", "AP_S", "AP_M", "AP_L")


@cache
def notes() -> dict[str, str]:
    """Say what does not add up in the paper, by the figure or table that it bears on."""
    text = (files("fpnprobe.report.tables") / "notes.json").read_text(encoding="utf-8")
    content: dict[str, str] = json.loads(text)
    return content


def detector(study: Mapping[str, Any]) -> str:
    """The paper's name of a study's detector, "" if it has none.

    >>> detector({"detector": {"framework": "retinanet"}})
    'RetinaNet'
    """
    return detector_name(_name_detector(study))


def backbone(study: Mapping[str, Any]) -> str:
    """Kin of a study's backbone among the paper's (`backbone_kin`)."""
    return backbone_kin(_name_detector(study))


def backbone_name(study: Mapping[str, Any]) -> str:
    """The backbone that a study's detector really has, by the paper's names where it is one.

    >>> backbone_name({"detector": {"config": "mask-rcnn_r101_fpn_1x_coco"}})
    'ResNet-101'
    >>> small = {"backbone": {"depth": 18}}
    >>> backbone_name({"detector": {"config": "atss_r101_fpn_1x_coco", "overrides": small}})
    'ResNet-18'
    >>> backbone_name({"detector": {"framework": "retinanet", "backbone": "lite0"}})
    'EfficientNet-Lite0'
    """
    detector = study.get("detector") or {}
    if not detector.get("config"):
        backbone = detector.get("backbone") or "resnet18-narrow"
        if isinstance(backbone, Mapping):
            return f"{backbone.get('type', 'unknown')} {backbone.get('depth', '')}".strip()
        return {"lite0": "EfficientNet-Lite0", "resnet18-narrow": "narrow ResNet-18"}.get(
            str(backbone), str(backbone)
        )
    name = str(detector["config"]).rsplit("/", 1)[-1].lower()
    changed = (detector.get("overrides") or {}).get("backbone") or {}
    match = re.search(r"(?:^|[_-])(r|x)(\d+)(-\d+x\d+d)?(?=[_-]|$)", name)
    if "type" in changed or (match is None and "swin-t" not in name):
        return f"{changed.get('type', 'unknown')} {changed.get('depth', '')}".strip()
    if match is None:
        depths = changed.get("depths")
        return "Swin-T" if depths is None else f"Swin with {sum(depths)} blocks"
    family, depth, groups = match.groups()
    kind = "ResNet" if family == "r" else "ResNeXt"
    return f"{kind}-{changed.get('depth', depth)}{groups or ''}"


def _name_detector(study: Mapping[str, Any]) -> str:
    detector = study.get("detector") or {}
    return str(detector.get("framework") or detector.get("config") or "")


def by_variant(detector: str) -> pd.DataFrame:
    """Published AP of each variant of a detector: variant, metric, published, source.

    Faster R-CNN has Figure 3 and Tables 1 and 2; RetinaNet the tables; others have no row.

    >>> table = by_variant("Faster R-CNN").set_index(["variant", "metric"])["published"]
    >>> float(table["DC5", "AP_L"]), float(table["FPN-CFG3", "AP"])
    (53.3, 42.2)
    """
    rows: dict[str, tuple[dict[str, Any], str]] = {}
    if detector == "Faster R-CNN":
        for row in numbers()["figure3"]["rows"]:
            rows.setdefault(row["variant"], (row, "Figure 3"))
    for row in numbers()["table1"]["rows"]:
        name = "FPN" + ("-Aux" if row["auxiliary"] else "") + ("U" if row["uncertainty"] else "")
        if row["detector"] == detector:
            rows.setdefault(name, (row, "Table 1"))
    for row in numbers()["table2"]["rows"]:
        if row["detector"] == detector and row["grouping_stages"]:
            rows.setdefault(f"FPN-CFG{row['grouping_stages']}", (row, "Table 2"))
    return pd.DataFrame(
        [
            {"variant": name, "metric": metric, "published": row[metric], "source": source}
            for name, (row, source) in rows.items()
            for metric in METRICS
            if row.get(metric) is not None
        ],
        columns=["variant", "metric", "published", "source"],
    )


def figure1() -> pd.DataFrame:
    """Published AP_S and AP_L of Figure 1 (Faster R-CNN R50, MMDetection bars)."""
    return pd.DataFrame(
        [
            {"variant": row["variant"], "metric": metric, "published": row[metric]}
            for row in numbers()["figure1"]["rows"]
            for metric in ("AP_S", "AP_L")
            if row[metric] is not None
        ]
    )
