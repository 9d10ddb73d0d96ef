"""The table on channel groups: are they compact, as feature grouping is meant to make them."""

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.figures.columns import rows
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Block, Table
from fpnprobe.report.tables.stored import Stored
from fpnprobe.store.feature_maps import Features, stored_images

COLUMNS = ("variant", "seed", "level", "compactness", "images")


def values(stored: Stored) -> pd.DataFrame:
    """Mean over the stored images of each finished cell and level; unreadable files are skipped."""
    records = []
    for cell in stored.done:
        folder = cell.folder / "features" if cell.folder is not None else None
        for image in stored_images(folder) if folder is not None else ():
            try:
                features = Features.read(f"{folder}/{image}.npz")
            except FpnProbeError:
                continue
            records += [
                (cell.variant, cell.seed, level, value, image)
                for level, value in features.compactness.items()
            ]
    table = pd.DataFrame(records, columns=list(COLUMNS))
    keys = ["variant", "seed", "level"]
    grouped = table.groupby(keys, sort=False)
    return grouped.agg(
        compactness=("compactness", "mean"), images=("images", "nunique")
    ).reset_index()


def table(stored: Stored) -> list[Block]:
    """A row per variant, a column per level; nothing where no file has the number."""
    compactness_table = values(stored)
    if compactness_table["compactness"].isna().all():
        return []
    keys = ["variant", "level"]
    spread = compactness_table.groupby(keys, sort=False)["compactness"]
    averaged = spread.agg(value="mean", low="min", high="max", seeds="count").reset_index()
    levels = sorted(set(averaged["level"]))
    records = []
    for variant in stored.variants:
        record: dict[str, object] = {"variant": variant}
        for row in rows(averaged[(averaged["variant"] == variant) & (averaged["seeds"] > 0)]):
            several = f" [{signed(row.low, 2)}, {signed(row.high, 2)}]" if row.seeds > 1 else ""
            record[row.level] = signed(row.value, 2) + several
        records.append(record)
    frame = pd.DataFrame(records, columns=["variant", *levels])
    return [
        Table(
            "compactness",
            "Are the channels of a group alike",
            f"{_name_most_compact(averaged)} In quarters of the channels before smoothing (X of "
            "the last grouping stage, Eq. 12; C' of Eq. 4 where nothing is grouped): 1 says that "
            "the maps of a quarter are alike, 0 is what any order of the channels gives on "
            "average. The paper expects grouping to raise it and gives no number. Mean over "
            f"{int(compactness_table['images'].max())} images and over seeds, with the lowest and "
            "highest seed; a dash where a variant has no pyramid, or an earlier version stored "
            "none.",
            frame,
            {name: name for name in frame.columns},
            dict.fromkeys(levels, "{}"),
        )
    ]  # fmt: skip


def _name_most_compact(averaged: pd.DataFrame) -> str:
    """The most compact variant beside the plain pyramid."""
    mean = averaged.groupby("variant", sort=False)["value"].mean().dropna()
    best = str(mean.idxmax())
    text = f"Most compact: {best} ({signed(float(mean[best]), 2)} over all levels"
    if best != "FPN" and "FPN" in mean.index:
        text += f"; FPN {signed(float(mean['FPN']), 2)}"
    return f"{text})."
