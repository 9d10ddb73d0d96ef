"""Figure 5 from the stored maps: one image, every stage and level of up to four variants."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.figures import feature_maps
from fpnprobe.figures.columns import largest, rows
from fpnprobe.figures.legend import Key
from fpnprobe.figures.palette import bucket_color
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.tables.read_studies import Stored
from fpnprobe.scales import ScaleBucket, bucket_index
from fpnprobe.store.feature_maps import Features, stored_images

STAGES, LEVELS = ("C2", "C3", "C4", "C5"), ("P2", "P3", "P4", "P5")
VARIANTS = 4
_TELLING = (
    "DC5", "FPN", "FPN-CFG3", "FPN-AuxU", "FPN-CFG2", "FPN-CFG1", "FPN-Aux", "FPN-Wide",
)  # fmt: skip


def figure(stored: Stored) -> list[Block]:
    """The figure of the first image that all variants share; nothing where none is stored."""
    cells: dict[str, Path] = {}
    for cell in stored.done:
        if cell.folder is not None and stored_images(cell.folder / "features"):
            cells.setdefault(cell.variant, cell.folder / "features")
    several, cells = len(cells), {name: cells[name] for name in chosen(list(cells))}
    common = (
        sorted(set.intersection(*(set(stored_images(f)) for f in cells.values()))) if cells else []
    )
    for image_id in common[:1]:
        try:
            maps = {v: Features.read(folder / f"{image_id}.npz") for v, folder in cells.items()}
        except FpnProbeError:
            return []
        return [_feature_figure(maps, image_id, stored.scale_buckets, several)]
    return []


def chosen(names: Sequence[str]) -> list[str]:
    """The variants to show, in their order: where there are too many, those that differ most.

    >>> chosen(["DC5", "DC5-Aux", "FPN", "FPN-Aux", "FPN-AuxU", "FPN-CFG1", "FPN-CFG3"])
    ['DC5', 'FPN', 'FPN-AuxU', 'FPN-CFG3']
    """
    rank = {name: at for at, name in enumerate(_TELLING)}
    told = sorted(names, key=lambda name: rank.get(name.split(": ")[-1], len(rank)))
    return [name for name in names if name in told[:VARIANTS]]


def _feature_figure(
    maps: Mapping[str, Features], image_id: int, scale: Sequence[ScaleBucket], several: int
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
        "all maps of the figure. Numbers: percent of a map's energy inside the boxes of each size"
        + (
            "; at levels, how alike the channels of a group are (compactness, at most 1, about 0 "
            "without groups)."
            if any(found.compactness for found in maps.values())
            else "."
        )
        + (f" {len(maps)} of {several} variants are shown." if several > len(maps) else ""),
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
        bottom=22 + 18 * any(found.compactness for found in maps.values()),
        share="y",
    )


def _seen(table: pd.DataFrame, names: Sequence[str]) -> str:
    """Where objects of the largest size stand out most from their surroundings."""
    large = table[table["bucket"] == names[-1]].dropna(subset="contrast")
    if large.empty:
        return "The image shows no object of the largest size."
    best = largest(large, "contrast")
    return (
        f"{names[-1].capitalize()} objects stand out most at {best.tap} of {best.variant} "
        f"({best.contrast:.1f} times the energy of a flat map)."
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
        for places in (STAGES, LEVELS):
            told = places is LEVELS and any(each.compactness for each in maps.values())
            taps = [tap for tap in places if tap in found.maps]
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
                        compactness=found.compactness.get(tap, float("nan")) if told else None,
                        label=f"{variant} {tap}",
                        buckets=[b.name for b in scale],
                    ),
                    new_row=tap == taps[0],
                )
