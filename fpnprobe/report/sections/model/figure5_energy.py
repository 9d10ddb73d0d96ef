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
    area = table.drop_duplicates("bucket").set_index("bucket")["area"]
    covered = ", ".join(f"{name} {100 * area[name]:.0f} %" for name in buckets)
    return Figure(
        "figure-5-energy",
        f"Where the energy of each map of image {image_id} lies, percent",
        f"Read each number against the part of the image that the boxes cover: {covered}. More "
        "than that, and the map stands out on objects of that size.",
        [
            Panel(
                f"{name} objects",
                partial(
                    energy.draw,
                    table[table["bucket"] == name],
                    reach=float(table["energy"].max()),
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
