"""The paper's printed differences as claims, read from its tables and figures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fpnprobe.evidence.published import METRICS, numbers


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
