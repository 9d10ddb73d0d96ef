"""The paper's Tables 1-4 beside the measured numbers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Block, Section, Table, Text
from fpnprobe.report.tables import published
from fpnprobe.report.tables.average_precision import final
from fpnprobe.report.tables.stored import Stored

METRICS = published.METRICS
_SPEED = "FPS"
_DETAILED = ("AP", "AP_50", "AP_75", "AP_S", "AP_M", "AP_L", _SPEED)  # as Tables 1 and 2 have it
_Place = tuple[str, str, str, str]  # detector, backbone or its kin, variant, metric
_Entry = tuple[str, str, dict[str, str], Mapping[str, Any]]  # detector, variant, facts, printed
_UNKNOWN = (float("nan"), float("nan"))
_NECKS = (("FPN", "FPN", "baseline"), ("FPN-CFG3", "CFG", "cfg"))
_OWN = " (not the paper's)"


def section(stored: Stored) -> Section | None:
    """Those of the four tables of which the study measured something; None if there is none."""
    ours = _mean_measured(stored, "bbox", published.backbone)
    blocks: list[Block] = [
        Text(
            "Each entry is a value and, in brackets, its change against the baseline row of the "
            "same detector. The paper's numbers are COCO val2017 after 12 epochs on 118,000 "
            "images, single runs; compare the changes, and only if your data and schedule match.",
        )
    ]
    table1_rows = [
        (row["detector"], name, {"auxiliary": _write_yes(row["auxiliary"]),
         "uncertainty": _write_yes(row["uncertainty"])}, row)
        for row in published.numbers()["table1"]["rows"]
        for name in ["FPN" + "-Aux" * row["auxiliary"] + "U" * row["uncertainty"]]
    ]  # fmt: skip
    table2_rows = [
        (row["detector"], f"FPN-CFG{n}" if n else "FPN", {"grouping stages": str(n)}, row)
        for row in published.numbers()["table2"]["rows"]
        for n in [row["grouping_stages"]]
    ]
    tables = [
        _set_beside(stored, "table1", "Table 1: auxiliary losses", table1_rows, ours, _DETAILED),
        _set_beside(stored, "table2", "Table 2: feature grouping", table2_rows, ours, _DETAILED),
    ]
    for name, title, iou_type in (
        ("table3", "Table 3: feature grouping in twelve detectors", "bbox"),
        ("table4", "Table 4: mask AP", "segm"),
    ):
        ours_of_table = _mean_measured(stored, iou_type, published.backbone_name)
        tables.append(
            _set_beside(stored, name, title, _framework_rows(name, ours_of_table), ours_of_table)
        )
    measured = [table for table in tables if table is not None]
    return Section("paper", "Beside the paper", [*blocks, *measured]) if measured else None


def _framework_rows(table: str, ours: Mapping[_Place, float]) -> list[_Entry]:
    """The printed rows of Table 3 or 4, each by its backbone, then ours with other backbones."""
    printed = [
        (row["detector"], variant, {"backbone": row["backbone"], "neck": neck}, row[key])
        for row in published.numbers()[table]["rows"]
        for variant, neck, key in _NECKS
    ]
    there = {(detector, facts["backbone"]) for detector, _, facts, _ in printed}
    printed_detectors = {detector for detector, _ in there}
    other = sorted({place[:2] for place in ours if place[0] in printed_detectors} - there)
    our_rows: list[_Entry] = [
        (detector, variant, {"backbone": backbone + _OWN, "neck": neck}, {})
        for detector, backbone in other
        for variant, neck, _ in _NECKS
        if any((detector, backbone, variant, metric) in ours for metric in METRICS)
    ]
    return [*printed, *our_rows]


def _write_yes(value: bool) -> str:
    return "yes" if value else "no"


def _mean_measured(
    stored: Stored, iou_type: str, backbone: Callable[[Mapping[str, Any]], str]
) -> dict[_Place, float]:
    """Mean AP in points by detector's name in the paper, `backbone`, variant and metric.

    AP by size only where it may stand beside the paper's.
    """
    table = final(stored, iou_type=iou_type)
    if not stored.compares_with_paper:
        table = table[table["metric"].isin(["AP", "AP_50", "AP_75"])]
    built = {s["name"]: (published.detector(s), backbone(s)) for s in stored.studies}
    of = {cell.variant: (*built.get(cell.study, ("", "")), cell.name) for cell in stored.cells}
    averages: dict[_Place, float] = {}
    for (variant, metric), rows in table.groupby(["variant", "metric"]):
        averages[(*of[str(variant)], str(metric))] = float(rows["value"].mean())
    speeds: dict[str, list[float]] = {}
    for cell in stored.cells:
        speed = (cell.manifest.get("timings") or {}).get("images_per_second")
        if isinstance(speed, int | float):
            speeds.setdefault(cell.variant, []).append(speed)
    for name, values in speeds.items():
        averages[(*of[name], _SPEED)] = sum(values) / len(values)
    return averages


def _set_beside(
    stored: Stored,
    name: str,
    title: str,
    entries: Iterable[_Entry],
    ours: Mapping[_Place, float],
    metrics: Sequence[str] = METRICS,
) -> Table | None:
    """A printed table with our values beside; None where no variant but FPN was measured."""
    records = []
    base: dict[tuple[str, str, str], tuple[float, float]] = {}
    measured = set()
    for detector, variant, facts, row in entries:
        record: dict[str, Any] = {"detector": detector, **facts}
        backbone = facts.get("backbone", "ResNet").removesuffix(_OWN)  # Tables 1 and 2 go by kin
        built = detector, backbone
        for metric in metrics:
            paper = row.get(metric.replace("AP_5", "AP5").replace("AP_7", "AP7"))
            our_value = ours.get((*built, variant, metric), float("nan"))
            paper = float("nan") if paper is None else float(paper)
            if variant == "FPN":
                base[(*built, metric)] = (paper, our_value)
            elif our_value == our_value and metric != _SPEED:
                measured.add(built)
            for who, value, at in (("paper", paper, 0), ("ours", our_value, 1)):
                change = value - base.get((*built, metric), _UNKNOWN)[at]
                record[f"{metric} {who}"] = _write_cell(value, change, variant)
                record[f"{metric} {who} value"] = value
        records.append(record)
    if not measured:
        return None
    frame = pd.DataFrame(records)
    ours_too = frame["detector"].isin({detector for detector, _ in measured})
    frame = frame.assign(other=~ours_too).sort_values("other", kind="stable", ignore_index=True)
    frame = frame.drop(columns="other")
    columns_shown = [c for c in frame.columns if not c.endswith(" value")]
    if _SPEED in metrics and frame[f"{_SPEED} ours value"].isna().all():
        columns_shown = [c for c in columns_shown if not c.startswith(_SPEED)]
    caption = published.notes()[name]
    if any(column.startswith(_SPEED) for column in columns_shown):
        devices = sorted({str(cell.manifest.get("device")) for cell in stored.cells if cell.shown})
        caption += (
            f" {_SPEED} here are images per second of the detector alone, in batches, on "
            f"{' and '.join(devices)}: compare variants with one another, not with the paper's GPU."
        )
    return Table(
        name,
        title,
        caption,
        frame,
        {c: stored.add_bounds(c) if c.endswith(" ours") else c for c in columns_shown},
        {c: "{}" for c in columns_shown if c.endswith((" paper", " ours"))},
        rest="Detectors that this study did not measure" if not ours_too.all() else "",
        shown=int(ours_too.sum()),
    )


def _write_cell(value: float, change: float, variant: str) -> str | None:
    if value != value:
        return None
    if variant == "FPN" or change != change:
        return f"{value:.1f}"
    return f"{value:.1f} ({signed(change)})"
