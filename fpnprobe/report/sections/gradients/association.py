"""Do gradient measures go with what happens to AP by size, over all cells?"""

from functools import partial

import pandas as pd

from fpnprobe.figures import prediction
from fpnprobe.figures.columns import rows, split
from fpnprobe.figures.svg import Panel
from fpnprobe.figures.wording import with_minus
from fpnprobe.report.page.content import Block, Figure, Table
from fpnprobe.report.sections.gradients.measures import LEDGERS, stage_measures
from fpnprobe.report.sections.interventions.intervention_paths import changed
from fpnprobe.report.tables.average_precision import baseline, final
from fpnprobe.report.tables.gradient_shares import first_stage, stage_shares, variant_keys
from fpnprobe.report.tables.share_intervals import measured_on
from fpnprobe.report.tables.stored import Stored
from fpnprobe.statistics import rank_correlation

_PLACE = ["ledger", "measure", "tap", "route", "metric"]
_SHOWN = [*_PLACE, "variants", "n", "rho", "low", "high", "q"]


def correlations(stored: Stored) -> list[Block]:
    """Every correlation of a stage and route with its interval; nothing without any interval."""
    table = stored.evidence.get("association")
    if table is None or not {*_SHOWN, "kind"} <= set(table.columns):
        return []
    table = stage_measures(table[table["rho"].notna()], stored)
    tested = table[table["low"].notna()]
    if tested.empty:
        return []
    several = len(stored.studies) > 1
    columns = ["study", *_SHOWN] if several else _SHOWN
    frame = table.assign(
        ledger=table["ledger"].map(LEDGERS),
        metric=table["metric"].map(stored.name_metric) + " change",
    )[columns].reset_index(drop=True)  # fmt: skip
    return [
        Table(
            "correlations",
            "What goes with AP: every stage and route",
            stored.add_bounds(_count_verdicts(tested))
            + " Spearman's rank correlation over all cells of a study with the change of AP to "
            f"{'its baseline' if several else baseline(stored)}; the interval counts variants, "
            "not seeds, as witnesses; q is the false discovery rate over all rows of a study.",
            frame,
            {
                **({"study": "study"} if several else {}),
                "ledger": "gradient of", "measure": "measure", "tap": "stage", "route": "route",
                "metric": "goes with", "variants": "variants", "n": "cells", "rho": "rho",
                "low": "from", "high": "to", "q": "q",
            },
            dict.fromkeys(("rho", "low", "high", "q"), "{:.2f}"),
            folded=True,
        )
    ]  # fmt: skip


def _count_verdicts(tested: pd.DataFrame) -> str:
    """Count the intervals that exclude 0, those that would by chance, and those left after that."""
    clear = tested[(tested["low"] > 0) | (tested["high"] < 0)]
    if clear.empty:
        return f"None of {len(tested)} intervals excludes 0."
    sure = clear[clear["q"] < 0.05]
    clearest = [
        f"{row.measure} at {row.tap} ({row.route}, {LEDGERS[row.ledger]}) with "
        f"{row.metric}: {row.rho:.2f}"
        for row in rows(clear.sort_values("q", kind="stable").head(3))
    ]
    return (
        f"{len(clear)} of {len(tested)} intervals exclude 0, where chance alone gives about "
        f"{0.05 * len(tested):.0f}; {len(sure) or 'none'} with a false discovery rate below 5 %. "
        f"Clearest: {with_minus('; '.join(clearest))}."
    )


def figure(stored: Stored) -> list[Block]:
    """AP_L of each cell over that share; nothing with fewer than three variants.

    Interventions are left out: their ledgers hold the gradient before the change.
    """
    shares = stage_shares(stored)
    if shares.empty:
        return []
    ap = final(stored)
    table = stored.stage_gradients.shares
    buckets = list(dict.fromkeys(shares["bucket"]))
    low = first_stage(shares)
    table = table[
        (table["kind"] == "activation")
        & (table["term"] == "all")
        & (table["tap"] == low)
        & (table["bucket"] == buckets[-1])
        & ~table["variant"].isin([entry.variant for entry in changed(stored)])
    ]
    ap = ap[ap["metric"] == "AP_L"][["variant", "seed", "value"]].rename(columns={"value": "ap"})
    table = table.merge(ap, on=["variant", "seed"])
    table = table.assign(share=100 * table["share"])[["variant", "seed", "route", "share", "ap"]]
    table = table[table["route"].isin(["total", "direct"])].dropna()
    table = table.sort_values("route", ascending=False, kind="stable")
    if table["variant"].nunique() < 3:
        return []
    sentences, large = [], stored.name_metric("AP_L")
    for route, rows_of_route in split(table, "route"):
        correlation = rank_correlation(
            rows_of_route["share"], rows_of_route["ap"], clusters=list(rows_of_route["variant"])
        )
        if correlation.note:
            sentences.append(f"{route}: {correlation.note}")
        else:
            sentences.append(
                f"{route}: rank correlation {correlation.rho:.2f} "
                f"(95 % interval {correlation.low:.2f} to {correlation.high:.2f})"
            )
    return [
        Figure(
            "prediction",
            f"Does the share of {buckets[-1]} objects at {low} go with {large}",
            with_minus("; ".join(sentences)).capitalize()
            + f". The share is that of the squared norm, {measured_on(stored)}. A dot is a cell; "
            f"{baseline(stored)} is the baseline. Correlation over variants is no proof of a "
            "cause; interventions are."
            + (
                " The line is the least squares', its band a bootstrap over cells that takes "
                "seeds of one variant for independent, which errs on the narrow side."
                if any(
                    rows_of_route["share"].nunique() >= prediction.FEWEST
                    for _, rows_of_route in table.groupby("route")
                )
                else ""
            ),
            [
                Panel(
                    f"{large} over the {route} share",
                    partial(
                        prediction.draw,
                        rows_of_route,
                        colors=stored.colors,
                        x=f"share of {buckets[-1]} objects, %",
                        y=large,
                    ),
                )
                for route, rows_of_route in split(table, "route")
            ],
            table,
            keys=variant_keys(stored, table["variant"], "box"),
            height=190,
            left=46,
            bottom=48,
        )
    ]
