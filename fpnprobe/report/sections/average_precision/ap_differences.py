"""The figures of differences in AP to a baseline, with their intervals."""

from functools import partial

import pandas as pd

from fpnprobe.figures import differences
from fpnprobe.figures.columns import rows, split
from fpnprobe.figures.svg import Panel
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Figure
from fpnprobe.report.tables.stored import Stored

SHOWN = 5.0  # points; an interval up to here is drawn whole


def figure(table: pd.DataFrame, stored: Stored, name: str, title: str) -> list[Figure]:
    """Draw the differences of every pair, and say which have an interval without 0."""
    if table.empty:
        return []
    cap = max(SHOWN, 1.5 * float(table["difference"].abs().max()))
    panels = [
        Panel(
            f"{variant} − {base}",
            partial(
                differences.draw,
                rows_of_variant.assign(metric=rows_of_variant["metric"].map(stored.name_metric)),
                colors=stored.colors,
                cap=cap,
            ),
        )
        for (variant, base), rows_of_variant in table.groupby(["variant", "baseline"], sort=False)
    ]
    sure = table.dropna(subset=["low", "high"])
    clear = sure[((sure["low"] > 0) | (sure["high"] < 0)) & sure["metric"].isin(["AP_S", "AP_L"])]
    single = clear["source"] == "images"
    beyond_both, beyond_images = (
        "; ".join(
            f"{variant} "
            + ", ".join(
                f"{stored.name_metric(str(r.metric))} {signed(r.difference)}"
                for r in rows(rows_of_variant)
            )
            for variant, rows_of_variant in split(clear_rows, "variant")
        )
        for clear_rows in (clear[~single], clear[single])
    )
    caption = (
        f"For small and large objects the intervals of these exclude 0: {beyond_both}."
        if beyond_both
        else "For small and large objects every interval holds 0."
        if not beyond_images
        else ""
    )
    if beyond_images:
        caption += (
            " For small and large objects, with one seed, the intervals over images of these "
            f"exclude 0: {beyond_images}."
        )
    caption = caption.strip()
    spoken = {"both": "images and seeds"}
    source = ", ".join(
        sorted({f"{spoken.get(r.source, r.source)} ({r.method})" for r in rows(sure)})
    )
    if source:
        caption += f" The 95 % intervals are over {source}."
    if (sure[["low", "high"]].abs() > cap).any(axis=None):
        caption += " Arrows: the interval goes on."
    figure = Figure(
        name,
        title,
        caption + " In AP points; right of zero is better.",
        panels,
        table,
        height=150,
        bottom=48,
        left=62 if stored.name_metric("AP_S") == "AP_S" else 104,
        share="xy",
    )
    return [figure]
