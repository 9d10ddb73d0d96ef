"""Figure 5 from the stored maps: one image, every stage and level of every variant."""

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
from fpnprobe.report.sections.model import figure5_energy
from fpnprobe.report.tables.pyramids import drop_single_level
from fpnprobe.report.tables.stored import Stored
from fpnprobe.scales import ScaleBucket, bucket_index
from fpnprobe.store.feature_maps import Features, stored_images

STAGES: tuple[str, ...] = ("C2", "C3", "C4", "C5")
LEVELS: tuple[str, ...] = ("P2", "P3", "P4", "P5")
SCALES = (("stages C", STAGES), ("levels P", LEVELS))
BRIGHTEST = 0.995
"""Quantile of all maps of a scale that is drawn brightest."""


def figure(stored: Stored) -> list[Block]:
    """The maps of the first image that all variants share, and where their energy lies."""
    cells: dict[str, Path] = {}
    for cell in stored.done:
        if cell.folder is not None and stored_images(cell.folder / "features"):
            cells.setdefault(cell.variant, cell.folder / "features")
    common = (
        sorted(set.intersection(*(set(stored_images(f)) for f in cells.values()))) if cells else []
    )
    for image_id in common[:1]:
        try:
            maps = {
                variant: drop_single_level(Features.read(folder / f"{image_id}.npz"))
                for variant, folder in cells.items()
            }
        except FpnProbeError:
            return []
        table = figure5_energy.measure(maps, image_id, stored.scale_buckets)
        return [
            _draw_maps(maps, table, image_id, stored.scale_buckets),
            figure5_energy.figure(table, image_id),
        ]
    return []


def _draw_maps(
    maps: Mapping[str, Features],
    table: pd.DataFrame,
    image_id: int,
    scale: Sequence[ScaleBucket],
) -> Figure:
    names = [bucket.name for bucket in scale]
    first = next(iter(maps.values()))
    tops = {places: _find_brightest(maps, places) for places in (STAGES, LEVELS)}
    return Figure(
        "figure-5",
        f"What stages and levels see in image {image_id} (Figure 5 of the paper)",
        f"{_name_clearest(table, names)} Brightness grows with the root mean square over "
        "channels, as its square root does; stages have one scale in all variants, levels "
        "another. A map shows on hover how much of its energy lies inside the boxes of each size; "
        "all those numbers are below.",
        [
            Panel("image", partial(_draw_image, found=first, scale=scale)),
            *_map_panels(maps, table, tops, scale),
            *_draw_scales([(title, tops[places]) for title, places in SCALES]),
        ],
        table,
        keys=[Key(f"{name} objects", bucket_color(name, names)) for name in names],
        columns=len(STAGES) + len(LEVELS),
        narrow=len(STAGES),
        height=82,
        left=96,
        right=4,
        bottom=4,
        gap=6,
        share="y",
    )


def _find_brightest(maps: Mapping[str, Features], places: Sequence[str]) -> float:
    """The value drawn brightest among the maps of all variants at some places; 0 without any."""
    every = [
        m.ravel() for features in maps.values() for tap, m in features.maps.items() if tap in places
    ]
    return float(np.quantile(np.concatenate(every), BRIGHTEST)) if every else 0.0


def _name_clearest(table: pd.DataFrame, names: Sequence[str]) -> str:
    """Say where objects of the largest size stand out most from their surroundings."""
    large = table[table["bucket"] == names[-1]].dropna(subset="contrast")
    if large.empty:
        return "The image shows no object of the largest size."
    best = largest(large, "contrast")
    return (
        f"{names[-1].capitalize()} objects stand out most at {best.tap} of {best.variant} "
        f"({best.contrast:.1f} times the energy of a flat map)."
    )


def _draw_image(ax: Any, *, found: Features, scale: Sequence[ScaleBucket]) -> None:
    feature_maps.draw(
        boxes(found, scale), ax, values=found.image, size=found.size, top=255.0, energy={},
        label="image", buckets=[b.name for b in scale],
    )  # fmt: skip


def boxes(features: Features, scale: Sequence[ScaleBucket]) -> pd.DataFrame:
    """Boxes in px of the original image with their bucket."""
    table = pd.DataFrame(
        np.asarray(features.boxes).reshape(-1, 4), columns=["x0", "y0", "x1", "y1"]
    )
    return table.assign(bucket=[scale[i].name for i in bucket_index(features.areas, scale)])


def _map_panels(
    maps: Mapping[str, Features],
    table: pd.DataFrame,
    tops: Mapping[tuple[str, ...], float],
    scale: Sequence[ScaleBucket],
) -> Iterator[Panel]:
    """A row of maps for each variant; the names of the maps stand above the first row."""
    for at, (variant, features) in enumerate(maps.items()):
        energies: dict[str, dict[str, float]] = {}
        for energy_row in rows(table[table["variant"] == variant]):
            energies.setdefault(energy_row.tap, {})[energy_row.bucket] = energy_row.energy
        for places in (STAGES, LEVELS):
            for tap in places:
                title, new_row = "" if at else tap, tap == STAGES[0]
                if tap not in features.maps:
                    yield Panel(title, _leave_empty, new_row=new_row)
                    continue
                yield Panel(
                    title,
                    partial(
                        feature_maps.draw,
                        boxes(features, scale),
                        values=features.maps[tap],
                        size=features.size,
                        top=tops[places],
                        energy=energies.get(tap, {}),
                        label=f"{variant} {tap}",
                        buckets=[b.name for b in scale],
                        row=variant if new_row else "",
                    ),
                    new_row=new_row,
                )


def _draw_scales(scales: Sequence[tuple[str, float]]) -> Iterator[Panel]:
    """The color bars, each below its maps."""
    for at, (title, top) in enumerate(scales):
        draw = partial(feature_maps.draw_scale, top=top, title=title) if top > 0 else _leave_empty
        yield Panel("", draw, new_row=not at)
        if at < len(scales) - 1:
            yield from [Panel("", _leave_empty)] * (len(STAGES) - 1)


def _leave_empty(ax: Any) -> None:
    ax.axis("off")
