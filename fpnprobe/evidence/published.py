"""The paper's printed numbers (`published.json`, in percent), read as testable claims.

Every claim is a difference between two variants of one framework that one table or figure prints.
For Faster R-CNN R101-FPN the paper has two baselines that contradict each other: 39.5 AP in Figure
3 and Tables 1 and 2, and the model zoo's 39.4 AP (AP_S 22.4 instead of 23.6) in Table 3. Each
table's numbers are compared among themselves alone.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class PublishedClaim:
    """`variant` against `baseline` of `detector`: `paper` is the difference in AP points.

    `baseline_name` says which printed baseline the number is against; `source` where it stands.
    """

    detector: str
    backbone: str
    variant: str
    baseline: str
    baseline_name: str
    metric: str
    paper: float
    source: str
    iou_type: str = "bbox"

    def as_printed(self) -> dict[str, str | float]:
        """Return the difference that the paper prints, with its table or figure."""
        return {
            "source": self.source,
            "backbone": self.backbone,
            "baseline": self.baseline_name,
            "paper": self.paper,
        }


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


@cache
def claims() -> tuple[PublishedClaim, ...]:
    """All claims, in the paper's order.

    >>> [(c.metric, c.paper) for c in claims() if c.source == "Figure 1"]
    [('AP_S', 2.1), ('AP_L', -1.1)]
    """
    return (
        *_read_figure1(),
        *_read_figure3(),
        *_read_table1(),
        *_read_table2(),
        *_read_table3(),
        *_read_table4(),
    )


def _claim_differences(
    better: Mapping[str, Any], base: Mapping[str, Any], **about: str
) -> Iterator[PublishedClaim]:
    for metric in METRICS:
        if better.get(metric) is not None and base.get(metric) is not None:
            paper = round(better[metric] - base[metric], 1)
            yield PublishedClaim(metric=metric, paper=paper, **about)


def _claim_against_baseline(
    better: Mapping[str, Any], base: Mapping[str, Any], **about: str
) -> Iterator[PublishedClaim]:
    """Against the baseline of the same table or figure, by its AP."""
    name = f"{about['baseline']} {base['AP']} AP, {about['source']}"
    yield from _claim_differences(better, base, **{**about, "baseline_name": name})


def _read_figure1() -> Iterator[PublishedClaim]:
    rows = {
        row["variant"]: row
        for row in numbers()["figure1"]["rows"]
        if row["toolbox"] == "MMDetection"
    }
    yield from _claim_differences(
        rows["FPN"], rows["DC5"], detector="Faster R-CNN", backbone="R50", variant="FPN",
        baseline="DC5", baseline_name="DC5, Figure 1 (MMDetection)", source="Figure 1",
    )  # fmt: skip


def _read_figure3() -> Iterator[PublishedClaim]:
    rows = {row["variant"]: row for row in numbers()["figure3"]["rows"]}
    about = {"detector": "Faster R-CNN", "backbone": "R101", "source": "Figure 3"}
    dc5 = {"baseline": "DC5", "baseline_name": f"DC5 {rows['DC5']['AP']} AP, Figure 3"}
    yield from _claim_differences(rows["FPN"], rows["DC5"], variant="FPN", **dc5, **about)
    yield from _claim_differences(rows["DC5-Aux"], rows["DC5"], variant="DC5-Aux", **dc5, **about)
    yield from _claim_against_baseline(
        rows["FPN-Aux"], rows["FPN"], variant="FPN-Aux", baseline="FPN", **about
    )


def _read_table1() -> Iterator[PublishedClaim]:
    rows = {
        (r["detector"], r["auxiliary"], r["uncertainty"]): r for r in numbers()["table1"]["rows"]
    }
    for (detector, auxiliary, uncertainty), row in rows.items():
        if not auxiliary:
            continue
        yield from _claim_against_baseline(
            row, rows[detector, False, False], detector=detector, backbone="R101",
            variant="FPN-AuxU" if uncertainty else "FPN-Aux", baseline="FPN", source="Table 1",
        )  # fmt: skip


def _read_table2() -> Iterator[PublishedClaim]:
    rows = {(row["detector"], row["grouping_stages"]): row for row in numbers()["table2"]["rows"]}
    for (detector, stages), row in rows.items():
        if stages:
            yield from _claim_against_baseline(
                row, rows[detector, 0], detector=detector, backbone="R101",
                variant=f"FPN-CFG{stages}", baseline="FPN", source="Table 2",
            )  # fmt: skip


def _framework_rows(table: str, iou_type: str) -> Iterator[PublishedClaim]:
    for row in numbers()[table]["rows"]:
        source = f"Table {table[-1]}"
        yield from _claim_differences(
            row["cfg"], row["baseline"], detector=row["detector"], backbone=row["backbone"],
            variant="FPN-CFG3", baseline="FPN", source=source, iou_type=iou_type,
            baseline_name=f"FPN {row['baseline']['AP']} AP, {source}",
        )  # fmt: skip


def _read_table3() -> Iterator[PublishedClaim]:
    yield from _framework_rows("table3", "bbox")


def _read_table4() -> Iterator[PublishedClaim]:
    yield from _framework_rows("table4", "segm")
