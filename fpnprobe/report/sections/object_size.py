"""The section on object size: AP against size, error types by scale."""

from functools import partial

import pandas as pd

from fpnprobe.figures import error_types, size_curve
from fpnprobe.figures.columns import largest, rows, split
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure, Section
from fpnprobe.report.tables.gradient_shares import bucket_keys, variant_keys
from fpnprobe.report.tables.stored import Stored


def section(stored: Stored) -> Section | None:
    """Whatever of it was measured; None if nothing was."""
    blocks = [*_size_curve(stored), *_draw_errors(stored)]
    title = "Where variants part" if len(stored.variants) > 1 else "Objects of each size"
    return Section("scale", title, blocks) if blocks else None


def _size_curve(stored: Stored) -> list[Block]:
    table = stored.evidence.get("size_curve")
    if table is None or table["ap"].isna().all():
        return []
    keys = ["variant", "low", "high", "sqrt_area"]
    pooled = table[table["seed"].astype(str) == "all"]
    if not pooled.empty and "source" in pooled:
        pooled = pooled.assign(rank=pooled["source"].map({"both": 0, "images": 1}))
        pooled = pooled[pooled["band_low"].notna() | (pooled["rank"] == 1)]
        table = pooled.sort_values("rank", kind="stable").drop_duplicates(keys).sort_index()
    has_both = "source" in table and (table["source"] == "both").any()
    over = "images and seeds" if has_both else "images"
    table = (
        table.groupby(keys, sort=False)
        .agg(
            ap=("ap", "mean"),
            band_low=("band_low", "mean"),
            band_high=("band_high", "mean"),
            n_objects=("n_objects", "first"),
        )
        .reset_index()
    )
    table[["ap", "band_low", "band_high"]] *= 100
    best = table.dropna(subset="ap").sort_values("sqrt_area")
    crowded = table["variant"].nunique() > size_curve.MOST_BANDS
    apart = stored.evidence.get("size_difference")
    sentence = (
        f"{_name_leader(best, apart, 0, 'smallest objects')}; "
        f"{_name_leader(best, apart, -1, 'largest')}"
    )
    return [
        Figure(
            "size-curve",
            "AP against object size",
            f"{sentence[:1].upper()}{sentence[1:]}. Bands are 95 % "
            f"intervals over {over}; dotted lines are the borders of the buckets. A "
            "point is the AP of its own narrow range of sizes; AP of a bucket is no mean of those."
            + (" Gray lines are the other variants." if crowded else ""),
            [
                Panel(
                    name,
                    partial(
                        size_curve.draw,
                        table,
                        colors=stored.colors,
                        borders=_list_borders(stored),
                        only=name,
                    ),
                )
                for name in (dict.fromkeys(table["variant"]) if crowded else [""])
            ],
            table,
            keys=[] if crowded else variant_keys(stored, table["variant"]),
            columns=3 if crowded else 1,
            height=130 if crowded else 280,
            left=48,
            right=10 if crowded else 84,
            bottom=48,
            share="xy",
        )
    ]


def _name_leader(table: pd.DataFrame, apart: pd.DataFrame | None, at: int, objects: str) -> str:
    """Name the leader at one end of the size axis: paired differences to all others exclude 0."""
    sizes = sorted(table["sqrt_area"].unique())
    rows_of_size = table[table["sqrt_area"] == sizes[at]]
    best = largest(rows_of_size, "ap")
    rivals = [str(name) for name in rows_of_size["variant"] if name != best.variant]
    sure = bool(rivals) and all(
        _is_ahead(apart, str(best.variant), other, sizes[at]) for other in rivals
    )
    return (
        f"{best.variant} leads on the {objects}" if sure else f"no lead is clear on the {objects}"
    )


def _is_ahead(apart: pd.DataFrame | None, best: str, other: str, size: float) -> bool:
    """Whether the stored difference of two variants at a size excludes 0, over seeds if it can."""
    if apart is None:
        return False
    differences = apart[(apart["seed"].astype(str) == "all") & (apart["sqrt_area"] == size)]
    differences = differences[differences["band_low"].notna()]
    for source in ("both", "images"):
        for row in rows(differences[differences["source"] == source]):
            if (row.variant, row.baseline) == (best, other):
                return bool(row.band_low > 0)
            if (row.variant, row.baseline) == (other, best):
                return bool(row.band_high < 0)
    return False


def _list_borders(stored: Stored) -> list[float]:
    """Borders between the study's buckets as the side of a square, px."""
    return [bucket.high**0.5 for bucket in stored.scale_buckets[:-1]]


def _draw_errors(stored: Stored) -> list[Block]:
    table = stored.evidence.get("errors")
    if table is None or table["d_ap"].isna().all():
        return []
    table = table[table["bucket"].isin(stored.buckets)]
    table = table.sort_values("bucket", key=lambda c: c.map(stored.buckets.index), kind="stable")
    table = table.groupby(["variant", "bucket", "error"], sort=False)["d_ap"].mean().reset_index()
    table["d_ap"] *= 100
    table = table.dropna(subset="d_ap")
    reach = float(table["d_ap"].max())
    clauses = []
    for name, rows_of_variant in split(table, "variant"):
        worst = largest(rows_of_variant, "d_ap")
        clauses.append(f"{name} {worst.error} on {worst.bucket} ({worst.d_ap:.1f})")
    return [
        Figure(
            "error-types",
            "Error types by scale",
            f"The costliest mistakes: {', '.join(clauses)}. A bar is the AP, in points, that would "
            "be won by correcting one type of error at one scale alone; the bars do not add up. "
            "Cls: wrong class; Loc: box too far off; Both: wrong class and box; Dupe: found twice; "
            "Bkg: nothing there; Miss: not found.",
            [
                Panel(name, partial(error_types.draw, rows_of_variant, reach=reach))
                for name, rows_of_variant in split(table, "variant")
            ],
            table,
            keys=bucket_keys(list(dict.fromkeys(table["bucket"]))),
            height=36 * table["error"].nunique(),
            left=52,
            bottom=48,
        )
    ]
