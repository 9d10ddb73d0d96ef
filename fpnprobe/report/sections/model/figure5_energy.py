"""The energy of the maps of Figure 5 inside the boxes of each size of objects."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from fpnprobe.figures import energy
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Figure
from fpnprobe.scales import ScaleBucket
from fpnprobe.store.feature_maps import Features


def measure(
    maps: Mapping[str, Features], image_id: int, scale: Sequence[ScaleBucket]
) -> pd.DataFrame:
    """Measure the share of each map's energy that lies in the boxes of each size."""
    tables = [
        features.in_boxes(scale).assign(variant=variant, image=image_id)
        for variant, features in maps.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["variant", "image", "tap", "bucket", "energy", "area", "contrast"]]


def figure(table: pd.DataFrame, image_id: int) -> Figure:
    """Draw the numbers of the maps: a heat map for each object size."""
    buckets = list(dict.fromkeys(table["bucket"]))
    return Figure(
        "figure-5-energy",
        f"How far each map of image {image_id} stands out in the boxes, times a flat map",
        "The part of a map's energy in the boxes of a size, over the part of its cells that they "
        "touch: above 1 the map stands out on those objects, 1 is what a flat map has. Cells of "
        "coarse maps are large, so more of them touch a box. Both parts are in the table.",
        [
            Panel(
                f"{name} objects",
                partial(
                    energy.draw,
                    table[table["bucket"] == name],
                    reach=float(table["contrast"].max()),
                ),
            )
            for name in buckets
        ],
        table,
        columns=1 if table["tap"].nunique() > 6 else 2,
        height=26 * table["variant"].nunique(),
        left=96,
        bottom=26,
        share="",
    )
