"""Answers about a run as DataFrames, from what it has stored: shares, detections, claims."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.report.tables.share_intervals import measured_on, share_intervals
from fpnprobe.report.tables.stored import Stored
from fpnprobe.store.cell import StoredCell
from fpnprobe.store.tables import read_parquet

PLACE = ["tap", "bucket", "route"]
DETECTIONS = [
    "variant", "seed", "image_id", "detection", "category_id", "label", "score", "x", "y", "width",
    "height",
]  # fmt: skip


def share_table(
    stored: Stored, *, tap: str, bucket: str, route: str, over_training: bool
) -> pd.DataFrame:
    """A bucket's share of the squared gradient norm at a stage, by variant, in [0, 1].

    Columns `tap`, `bucket` and `route` say what the shares are of, so that frames can be joined.
    """
    table = stored.gradients.history if over_training else share_intervals(stored)
    for name, value in (("tap", tap), ("bucket", bucket), ("route", route)):
        values = list(dict.fromkeys(table[name])) if len(table) else []
        if value not in values:
            expected = (
                f"expected one of {', '.join(map(str, values))}" if values else "nor any other"
            )
            raise FpnProbeError(f"no share of {name} {value!r} was measured: {expected}")
        table = table[table[name] == value]
    if over_training:
        columns = ["variant", "seed", *PLACE, "iteration", "share", "points"]
        return table[columns].sort_values(["variant", "seed", "iteration"], ignore_index=True)
    nothing_arrives = table["share"].isna() & (table["state"] == "measured")  # such as DC5, direct
    table = table.assign(state=table["state"].mask(nothing_arrives, "empty"))
    columns = ["variant", "share", "low", "high", *PLACE, "seeds", "samples", "state"]
    return table[columns].assign(measured=measured_on(stored)).reset_index(drop=True)


def detection_table(cells: Sequence[StoredCell]) -> pd.DataFrame:
    """Every stored detection; `detection` counts those of an image from the most confident.

    `label` is the class, or the category id where the cell does not say whose it is.
    """
    frames = [frame for cell in cells for frame in _read_detections(cell)]
    if not frames:
        return pd.DataFrame(columns=DETECTIONS)
    return pd.concat(frames, ignore_index=True)[DETECTIONS]


def _read_detections(cell: StoredCell) -> list[pd.DataFrame]:
    path = Path(cell.folder) / "detections.json.gz"
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        content: list[dict[str, Any]] = json.load(file)
    if not content:
        return []
    frame = pd.DataFrame(content)
    boxes = pd.DataFrame(frame["bbox"].tolist(), columns=["x", "y", "width", "height"])
    names = cell.class_names
    labels = [names.get(number, str(number)) for number in frame["category_id"]]
    frame = (
        frame.drop(columns="bbox")
        .join(boxes)
        .assign(label=labels, variant=cell.variant, seed=cell.seed)
    )
    frame = frame.sort_values(["image_id", "score"], ascending=[True, False], kind="stable")
    return [frame.assign(detection=frame.groupby("image_id").cumcount())]


def resting_on(attribution: pd.DataFrame, level: str, *, bucket: str, top: int) -> pd.DataFrame:
    """Those attributed detections (or objects) of a size that rest most on a level, if any does.

    Raises:
        FpnProbeError: If nothing was attributed to that level.
    """
    levels = sorted(set(attribution["level"])) if len(attribution) else []
    if level not in levels:
        raise FpnProbeError(
            f"no attribution to {level} is stored, "
            + (f"expected one of {', '.join(levels)}" if levels else "and none to any other")
            + "; `fpnprobe attribute RUN --kind detection` makes it"
        )
    rows = attribution[(attribution["level"] == level) & (attribution["bucket"] == bucket)]
    kinds = set(rows["kind"])
    if "detection" in kinds:
        rows = rows[rows["kind"] == "detection"]
    rows = rows[rows["share"] > 0].sort_values("share", ascending=False, kind="stable").head(top)
    first = ["variant", "seed", "image_id", "object", "kind", "label", "score", "x", "y", "width",
             "height", "bucket", "level", "share", "assigned_level"]  # fmt: skip
    columns = [name for name in first if name in rows.columns]
    return rows[columns].rename(columns={"object": "number"}).reset_index(drop=True)


def claims_table(claims: Sequence[Any]) -> pd.DataFrame:
    """The paper's claims as a table, those that were tested first."""
    columns = ["variant", "baseline", "metric", "measured", "low", "high", "seeds", "verdict",
               "p_holm", "statement", "note"]  # fmt: skip
    return pd.DataFrame([dict(claim) for claim in claims]).reindex(columns=columns)


def training_table(cells: Sequence[StoredCell]) -> pd.DataFrame:
    """Losses and other scalars of every cell: variant, seed, iteration, name, value."""
    frames = [
        read_parquet(cell.folder / "training.parquet").assign(variant=cell.variant, seed=cell.seed)
        for cell in cells
        if (cell.folder / "training.parquet").is_file()
    ]
    columns = ["variant", "seed", "iteration", "name", "value"]
    return (
        pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    )
