"""Gradient shares as the report uses them, and legends of variants and buckets."""

from collections.abc import Iterable, Sequence

import pandas as pd

from fpnprobe.figures.legend import Key
from fpnprobe.figures.palette import bucket_color, variant_dash
from fpnprobe.figures.routes import ROUTES
from fpnprobe.report.tables.stored import Stored
from fpnprobe.scales import BACKGROUND

_PLACE = ["variant", "tap", "route", "term", "bucket"]


def objects(
    stored: Stored, *, kind: str = "activation", tap: str = "C", training: bool = False
) -> pd.DataFrame:
    """Mean over seeds of `l2` and `share` by variant, tap, route, term and object bucket.

    Of the measurement behind every statement on shares, or of the `training`'s own samples.
    """
    table = (stored.gradients if training else stored.stage_gradients).shares
    if table.empty:
        return pd.DataFrame(columns=[*_PLACE, "l2", "share", "state"])
    table = table[
        (table["kind"] == kind)
        & table["tap"].str.fullmatch(rf"{tap}\d+")
        & ~table["bucket"].isin([BACKGROUND, "all"])
    ]
    table = (
        table.groupby(_PLACE, sort=False)
        .agg(l2=("l2", "mean"), share=("share", "mean"), state=("state", "first"))
        .reset_index()
    )
    in_some_seed = (table["state"] == "absent") & table["share"].notna()
    table["state"] = table["state"].mask(in_some_seed, "measured")
    order = {
        "variant": {name: at for at, name in enumerate(stored.variants)},
        "route": {name: at for at, name in enumerate(ROUTES)},
    }
    return table.sort_values(
        ["variant", "tap", "route"],
        key=lambda column: column.map(order.get(str(column.name), lambda name: name)),
        kind="stable",
    ).reset_index(drop=True)


def stage_shares(stored: Stored) -> pd.DataFrame:
    """Share by variant, backbone stage, route and object bucket of the whole loss."""
    table = objects(stored)
    return table[table["term"] == "all"].drop(columns="term")


def absent_sizes(stored: Stored) -> dict[str, list[str]]:
    """Sizes of which no sample has an object, with the variants that this is so for."""
    table = stage_shares(stored)
    absent = table[table["state"] == "absent"]
    return {
        name: list(dict.fromkeys(absent.loc[absent["bucket"] == name, "variant"]))
        for name in stored.buckets
        if (absent["bucket"] == name).any()
    }


def name_frozen(shares: pd.DataFrame) -> str:
    """Say at which stage of which of these variants shares are of what would arrive; "" at none.

    Args:
        shares: Rows of `stage_shares` at one stage.
    """
    arriving = shares[shares["state"] == "would_arrive"]
    if arriving.empty:
        return ""
    names = list(dict.fromkeys(arriving["variant"]))
    of = "" if len(names) == shares["variant"].nunique() else f" of {', '.join(names)}"
    return f"what would arrive: {arriving['tap'].iloc[0]}{of} is frozen"


def first_stage(table: pd.DataFrame) -> str:
    """The first backbone stage whose shares were measured, C2 unless it is frozen; "" if none."""
    measured = table[table["share"].notna()]
    return min(measured["tap"]) if len(measured) else ""


def bucket_keys(buckets: Sequence[str]) -> list[Key]:
    """Legend of the buckets."""
    return [Key(name, bucket_color(name, buckets), series=name) for name in buckets]


def variant_keys(stored: Stored, names: Iterable[str], shape: str = "line") -> list[Key]:
    """Legend of those variants that are among `names`, in the study's order."""
    among = set(names)
    return [
        Key(name, stored.colors[name], shape, dash=variant_dash(name), series=name)
        for name in stored.variants
        if name in among
    ]
