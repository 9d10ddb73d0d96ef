"""The section on what was built and what it sees: Figures 4 and 5, attribution to levels."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.features import Features, stored_images
from fpnprobe.figures import feature_maps, modules
from fpnprobe.figures.columns import rows, split
from fpnprobe.figures.palette import bucket_color
from fpnprobe.figures.svg import Key, Panel
from fpnprobe.report.content import Block, Figure, Section, Table
from fpnprobe.report.stored import Stored
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, bucket_index

STAGES, LEVELS = ("C2", "C3", "C4", "C5"), ("P2", "P3", "P4", "P5")
MODULES, VARIANTS = 14, 4


def section(stored: Stored) -> Section | None:
    """Whatever of it is stored; None if nothing is."""
    blocks = [*_modules(stored), *_features(stored), *_attribution(stored)]
    return Section("model", "What was built, and what it sees", blocks) if blocks else None


def buckets(stored: Stored) -> tuple[ScaleBucket, ...]:
    """The study's buckets, COCO's where it names none."""
    given: Any = stored.studies[0].get("buckets") or ()
    try:
        found = tuple(
            ScaleBucket(str(name), float(low), float("inf") if high is None else float(high))
            for name, low, high in given
        )
    except (TypeError, ValueError, FpnProbeError):
        found = ()
    return found or COCO_BUCKETS


def module_table(stored: Stored) -> pd.DataFrame:
    """Modules of each variant as its first finished cell lists them."""
    found: list[dict[str, Any]] = []
    for variant in stored.variants:
        cells = [c for c in stored.done if c.variant == variant]
        listed = ((cells[0].manifest.get("model") or {}).get("modules") or []) if cells else []
        items = (
            [{"name": name, **facts} for name, facts in listed.items() if isinstance(facts, dict)]
            if isinstance(listed, dict)
            else [item for item in listed if isinstance(item, dict)]
        )
        found += [
            {
                "variant": variant,
                "name": str(item.get("name", "")),
                "type": str(item.get("type", "")),
                "shape": _shape(item.get("shape") or item.get("output")),
                "parameters": float(item.get("parameters", np.nan)),
            }
            for item in items
        ]
    return pd.DataFrame(found, columns=list(modules.COLUMNS))


def _shape(value: Any) -> str:
    if isinstance(value, list | tuple) and value and all(isinstance(v, int) for v in value):
        return " × ".join(str(v) for v in value)
    if isinstance(value, list | tuple):
        return ", ".join(_shape(v) for v in value)
    return "" if value is None else str(value)


def _modules(stored: Stored) -> list[Block]:
    table = module_table(stored)
    if table.empty:
        return []
    total = {
        cell.variant: float((cell.manifest.get("model") or {}).get("parameters") or np.nan)
        for cell in stored.done
    }
    said = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in total.items() if count > 0)
    largest = table.assign(rank=table.groupby("variant")["parameters"].rank(ascending=False))
    shown = largest[largest["rank"] <= MODULES].drop(columns="rank")
    reach = float(shown["parameters"].max())
    panels = [
        Panel(name, partial(modules.draw, part, reach=reach))
        for name, part in split(shown, "variant")
    ]
    most = int(shown.groupby("variant").size().max())
    return [
        Figure(
            "figure-4",
            "The modules as built (Figure 4 of the paper)",
            f"Parameters in all: {said}. A gain that comes with more parameters needs a control of "
            "equal size. The largest modules, in the order of the forward pass; bars are "
            "parameters.",
            panels,
            table,
            height=38 * most,
            left=4,
            bottom=12,
        )
    ]


def _features(stored: Stored) -> list[Block]:
    cells: dict[str, Any] = {}
    for cell in stored.done:
        if cell.folder is not None and stored_images(cell.folder / "features"):
            cells.setdefault(cell.variant, cell.folder / "features")
    cells = dict(list(cells.items())[:VARIANTS])
    common = (
        sorted(set.intersection(*(set(stored_images(f)) for f in cells.values()))) if cells else []
    )
    for image_id in common[:1]:
        try:
            maps = {v: Features.read(folder / f"{image_id}.npz") for v, folder in cells.items()}
        except FpnProbeError:
            return []
        return [_feature_figure(maps, image_id, buckets(stored))]
    return []


def _feature_figure(
    maps: Mapping[str, Features], image_id: int, scale: Sequence[ScaleBucket]
) -> Figure:
    every = [m for found in maps.values() for m in found.maps.values()]
    top = float(np.quantile(np.concatenate([m.ravel() for m in every]), 0.995))
    names = [bucket.name for bucket in scale]
    tables = []
    for variant, found in maps.items():
        inside = found.in_boxes(scale)
        tables.append(inside.assign(variant=variant, image=image_id))
    table = pd.concat(tables, ignore_index=True)
    first = next(iter(maps.values()))
    return Figure(
        "figure-5",
        f"What stages and levels see in image {image_id} (Figure 5 of the paper)",
        _seen(table, names)
        + " Brightness is the root mean square over channels, on one scale (its square root) for "
        "all maps of the figure. Numbers: percent of a map's energy inside the boxes of each size.",
        [
            Panel("image", partial(_image, found=first, scale=scale)),
            *_map_panels(maps, table, top, scale),
        ],
        table[["variant", "image", "tap", "bucket", "energy", "area", "contrast"]],
        keys=[Key(f"{name} objects", bucket_color(name, names)) for name in names],
        columns=4,
        narrow=2,
        height=150,
        left=2,
        bottom=22,
        share="y",
    )


def _seen(table: pd.DataFrame, names: Sequence[str]) -> str:
    """Where objects of the largest size stand out most from their surroundings."""
    large = table[table["bucket"] == names[-1]].dropna(subset="contrast")
    if large.empty:
        return "The image shows no object of the largest size."
    best: Any = large.loc[large["contrast"].idxmax()]
    return (
        f"{names[-1].capitalize()} objects stand out most at {best['tap']} of {best['variant']} "
        f"({best['contrast']:.1f} times the energy of a flat map)."
    )


def _image(ax: Any, *, found: Features, scale: Sequence[ScaleBucket]) -> None:
    feature_maps.draw(
        boxes(found, scale), ax, values=found.image, size=found.size, top=255.0, energy={},
        label="image", buckets=[b.name for b in scale],
    )  # fmt: skip


def boxes(found: Features, scale: Sequence[ScaleBucket]) -> pd.DataFrame:
    """Boxes in px of the original image with their bucket."""
    table = pd.DataFrame(np.asarray(found.boxes).reshape(-1, 4), columns=["x0", "y0", "x1", "y1"])
    return table.assign(bucket=[scale[i].name for i in bucket_index(found.areas, scale)])


def _map_panels(
    maps: Mapping[str, Features], table: pd.DataFrame, top: float, scale: Sequence[ScaleBucket]
) -> Iterator[Panel]:
    for variant, found in maps.items():
        energy: dict[str, dict[str, float]] = {}
        for row in rows(table[table["variant"] == variant]):
            energy.setdefault(row.tap, {})[row.bucket] = row.energy
        for taps in (STAGES, LEVELS):
            taps = [tap for tap in taps if tap in found.maps]
            for tap in taps:
                yield Panel(
                    f"{variant} {tap}" if tap == taps[0] else tap,
                    partial(
                        feature_maps.draw,
                        boxes(found, scale),
                        values=found.maps[tap],
                        size=found.size,
                        top=top,
                        energy=energy.get(tap, {}),
                        label=f"{variant} {tap}",
                        buckets=[b.name for b in scale],
                    ),
                    new_row=tap == taps[0],
                )


def _attribution(stored: Stored) -> list[Block]:
    table = stored.evidence.get("attribution")
    needed = {"variant", "method", "place", "bucket", "level", "share", "low", "high"}
    if table is None or not needed <= set(table.columns):
        return []
    table = table[(table["place"] == "stages") & table["share"].notna()]
    method = "integrated_gradients"
    if method not in set(table["method"]) and len(table):
        method = str(table["method"].iloc[0])
    table = table[table["method"] == method]
    if table.empty:
        return []
    levels = sorted(set(table["level"]))
    found = []
    for (variant, bucket), part in table.groupby(["variant", "bucket"], sort=False):
        record = {"variant": variant, "bucket": bucket}
        for row in rows(part):
            record[row.level] = f"{row.share:.2f} [{row.low:.2f}, {row.high:.2f}]"
        found.append(record)
    frame = pd.DataFrame(found, columns=["variant", "bucket", *levels])
    return [
        Table(
            "attribution",
            "What class scores rest on",
            f"Share of each stage in the class scores of objects, by {method.replace('_', ' ')}, "
            "with 95 % intervals over images. It tells what a trained model uses, not what "
            "trained it.",
            frame,
            {name: name for name in frame.columns},
            dict.fromkeys(levels, "{}"),
        )
    ]
