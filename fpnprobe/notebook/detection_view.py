"""One detection of a stored picture: its box on the image, and what its class score rests on."""

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from fpnprobe.figures.columns import rows
from fpnprobe.figures.palette import ACCENT, INK, LINE
from fpnprobe.figures.svg import Panel, mark
from fpnprobe.notebook.drawing import Drawing
from fpnprobe.report.page.content import Figure
from fpnprobe.store.feature_maps import Features

LEAST_SCORE = 0.3
"""Detections below are too many to choose from."""
_CELL = ["variant", "seed", "image_id"]


def choices(detections: pd.DataFrame, images: tuple[int, ...]) -> pd.DataFrame:
    """The detections that can be shown: on a stored picture, of some confidence."""
    listed = detections["image_id"].isin(images) & (detections["score"] >= LEAST_SCORE)
    return detections[listed].reset_index(drop=True)


def name_choice(row: object) -> str:
    """A detection as an entry of a list.

    >>> from types import SimpleNamespace as Row
    >>> name_choice(Row(variant="FPN", seed=0, image_id=3, detection=1, label="ring", score=0.871))
    'FPN seed 0, image 3: ring 0.87 (1)'
    """
    text = "{r.variant} seed {r.seed}, image {r.image_id}: {r.label} {r.score:.2f} ({r.detection})"
    return text.format(r=row)


def at_detection(
    selected_row: pd.Series, detections: pd.DataFrame, attribution: pd.DataFrame, picture: Features
) -> Drawing:
    """Draw a detection among those of its image, and the shares of its class score by level.

    Args:
        selected_row: A row of `choices`.
        detections: All choices.
        attribution: What `fpnprobe attribute` has stored, possibly nothing.
        picture: The stored picture of its image.
    """
    of_same_cell = (detections[_CELL] == selected_row[_CELL]).all(axis=1)
    image = detections[of_same_cell].assign(
        chosen=lambda t: t["detection"] == selected_row["detection"]
    )
    shares = _select_shares(selected_row, attribution)
    panels = [Panel("the image", partial(_draw_image, image, picture=picture))]
    panels += [
        Panel(f"its score by {place}", partial(_draw_shares, shares_there))
        for place, shares_there in shares.groupby("place", sort=False)
    ]
    resting = (
        "Bars are parts of the attribution of its class score."
        if len(shares)
        else "No attribution of it is stored: `fpnprobe attribute RUN --kind detection`."
    )
    figure = Figure(
        "a-detection",
        "One detection",
        f"{name_choice(selected_row)}. {resting}",
        panels,
        image,
        columns=3,
        height=230,
        share="",
    )
    return Drawing(figure)


def _select_shares(selected_row: pd.Series, attribution: pd.DataFrame) -> pd.DataFrame:
    if attribution.empty:
        return attribution.reindex(columns=["place", "level", "share"])
    is_of_row = (attribution[_CELL] == selected_row[_CELL]).all(axis=1)
    is_of_row &= (attribution["kind"] == "detection") & (
        attribution["object"] == selected_row["detection"]
    )
    table: pd.DataFrame = attribution[is_of_row]
    table = table[table["method"] == table["method"].iloc[0]] if len(table) else table
    return table.sort_values(["place", "level"], kind="stable")


def _draw_image(table: pd.DataFrame, ax: Axes, *, picture: Features) -> None:
    width, height = picture.size
    ax.imshow(picture.image, extent=(0, width, height, 0), interpolation="nearest")
    for row in rows(table.sort_values("chosen")):
        color, thickness = (ACCENT, 3.0) if row.chosen else (LINE, 1.2)
        box = Rectangle(
            (row.x, row.y), row.width, row.height, facecolor="none", edgecolor=color,
            linewidth=thickness,
        )  # fmt: skip
        mark(box, f"{row.label} {row.score:.2f} ({row.detection})")
        ax.add_patch(box)
    ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])


def _draw_shares(table: pd.DataFrame, ax: Axes) -> None:
    levels = list(table["level"])
    for row in rows(table):
        (bar,) = ax.barh(levels.index(row.level), 100 * row.share, color=ACCENT, height=0.6)
        mark(bar, f"{row.level}: {100 * row.share:.1f} %")
    ax.set_yticks(range(len(levels)), levels)
    ax.tick_params(axis="y", labelcolor=INK)
    ax.set(xlim=(0, 100), ylim=(len(levels) - 0.5, -0.5), xlabel="percent")
