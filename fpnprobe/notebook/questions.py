"""Answers about a run as DataFrames, from what it has stored: shares, differences, detections."""

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.report.tables.share_intervals import measured_on, share_intervals
from fpnprobe.report.tables.stored import Stored
from fpnprobe.store.cell import StoredCell
from fpnprobe.store.tables import read_parquet
from fpnprobe.suggestions import suggest

DIFFERENCES = ["metric", "difference", "low", "high", "a", "b", "source", "seeds"]
DETECTIONS = [
    "variant", "seed", "image_id", "detection", "category_id", "label", "score", "x", "y", "width",
    "height",
]  # fmt: skip


def share_table(
    stored: Stored, *, tap: str, bucket: str, route: str, over_training: bool
) -> pd.DataFrame:
    """A bucket's share of the squared gradient norm at a stage, by variant, in [0, 1]."""
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
        columns = ["variant", "seed", "iteration", "share", "points"]
        return table[columns].sort_values(["variant", "seed", "iteration"], ignore_index=True)
    nothing_arrives = table["share"].isna() & (table["state"] == "measured")  # such as DC5, direct
    table = table.assign(state=table["state"].mask(nothing_arrives, "empty"))
    columns = ["variant", "share", "low", "high", "seeds", "samples", "state"]
    return table[columns].assign(measured=measured_on(stored)).reset_index(drop=True)


def differences(comparison: pd.DataFrame | None, a: str, b: str) -> pd.DataFrame:
    """Read what variant `b` gains over `a` in AP points from a study's stored comparison.

    Of each metric the interval that covers most: over images and seeds, else over images.

    Raises:
        FpnProbeError: If one of them is unknown or nothing was compared.
    """
    if comparison is None or comparison.empty:
        raise FpnProbeError(
            "this run has no stored comparison of its variants: run `fpnprobe run-study` to its "
            "end, or give two cells or two detection files"
        )
    variants = sorted({*comparison["variant"], *comparison["baseline"]})
    for name in (a, b):
        if name not in variants:
            raise FpnProbeError(f"no variant {name!r} was compared: {suggest(name, variants)}")
    pooled = comparison[comparison["seed"].astype(str) == "all"]
    there = pooled[(pooled["baseline"] == a) & (pooled["variant"] == b)]
    back = pooled[(pooled["baseline"] == b) & (pooled["variant"] == a)]
    if there.empty:  # a pair is stored one way round
        there = back.assign(
            a=back["b"], b=back["a"], difference=-back["difference"], low=-back["high"],
            high=-back["low"],
        )  # fmt: skip
    if there.empty:
        raise FpnProbeError(f"{a} and {b} were not compared with each other")
    order = {"both": 0, "images": 1, "seeds": 2}
    there = there.assign(rank=there["source"].map(order), unknown=there["low"].isna())
    best = there.sort_values(["unknown", "rank"], kind="stable").drop_duplicates("metric")
    best = best.sort_index().rename(columns={"n_seeds": "seeds"})
    for name in ("a", "b", "difference", "low", "high"):
        best[name] = 100 * best[name]
    words = {"both": "images and seeds"}
    return best.assign(source=best["source"].replace(words))[DIFFERENCES].reset_index(drop=True)


def differences_as_json(table: pd.DataFrame) -> dict[str, Any]:
    """`{metric: {a, b, difference, low, high, source, seeds}}`, in points; NaN as null.

    `named` is among them where the table has it: the metric with its bounds.
    """
    return {
        str(row["metric"]): {
            str(key): None if value != value else value
            for key, value in row.items()
            if key != "metric"
        }
        for row in table.to_dict("records")
    }


def differences_as_text(
    table: pd.DataFrame, *, a: str, b: str, name: Callable[[str], str] = str
) -> str:
    """The differences for a person: bounds beside sizes, and what the intervals cover.

    Args:
        table: What `differences` gives.
        a: The baseline.
        b: What is compared with it.
        name: A metric with its bounds.
    """
    readable = table.drop(columns="named", errors="ignore").rename(columns={"a": a, "b": b})
    readable = readable.assign(metric=table["metric"].map(name))
    seeds = int(table["seeds"].max()) if len(table) else 0
    words = (
        "one seed: how much training itself varies is unknown" if seeds < 2 else f"{seeds} seeds"
    )
    sources = set(table["source"])
    over = sources.pop() if len(sources) == 1 else "what source says"
    head = f"{b} - {a} in AP points, {words}; 95 % intervals over {over}"
    hidden = ["seeds", *(["source"] if over != "what source says" else [])]
    body = readable.drop(columns=hidden).to_string(index=False, float_format="{:.1f}".format)
    return f"{head}\n{body}"


def detection_table(cells: Sequence[StoredCell]) -> pd.DataFrame:
    """Every stored detection; `detection` counts those of an image from the most confident."""
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
    classes = list(cell.manifest.get("classes") or [])
    labels = [
        classes[number - 1] if 0 < number <= len(classes) else str(number)
        for number in frame["category_id"]
    ]
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
             "height", "share", "assigned_level"]  # fmt: skip
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
