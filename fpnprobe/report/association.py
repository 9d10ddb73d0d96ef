"""Does the share of large objects at the first stage go with AP_L, over all cells."""

from functools import partial

from fpnprobe.figures import prediction
from fpnprobe.figures.columns import split
from fpnprobe.figures.svg import Panel
from fpnprobe.report.content import Block, Figure
from fpnprobe.report.results import baseline, final
from fpnprobe.report.shares import first_stage, stage_shares, variant_keys
from fpnprobe.report.stored import Stored
from fpnprobe.statistics import rank_correlation


def figure(stored: Stored) -> list[Block]:
    """AP_L of each cell over that share; nothing with fewer than three variants."""
    shares = stage_shares(stored)
    if shares.empty:
        return []
    ap = final(stored)
    table = stored.gradients.shares
    buckets = list(dict.fromkeys(shares["bucket"]))
    low = first_stage(shares)
    table = table[
        (table["kind"] == "activation")
        & (table["term"] == "all")
        & (table["tap"] == low)
        & (table["bucket"] == buckets[-1])
    ]
    ap = ap[ap["metric"] == "AP_L"][["variant", "seed", "value"]].rename(columns={"value": "ap"})
    table = table.merge(ap, on=["variant", "seed"])
    table = table.assign(share=100 * table["share"])[["variant", "seed", "route", "share", "ap"]]
    table = table[table["route"].isin(["total", "direct"])].dropna()
    table = table.sort_values("route", ascending=False, kind="stable")
    if table["variant"].nunique() < 3:
        return []
    said = []
    for route, rows in split(table, "route"):
        found = rank_correlation(rows["share"], rows["ap"], clusters=list(rows["variant"]))
        if found.note:
            said.append(f"{route}: {found.note}")
        else:
            said.append(
                f"{route}: rank correlation {found.rho:.2f} "
                f"(95 % interval {found.low:.2f} to {found.high:.2f})"
            )
    return [
        Figure(
            "prediction",
            f"Does the share of {buckets[-1]} objects at {low} go with AP_L",
            "; ".join(said).replace("-", "−").capitalize()
            + f". A dot is a cell; {baseline(stored)} is the baseline. Correlation over variants "
            "is no proof of a cause; interventions are.",
            [
                Panel(
                    f"AP_L over the {route} share, %",
                    partial(prediction.draw, rows, colors=stored.colors, y="AP_L"),
                )
                for route, rows in split(table, "route")
            ],
            table,
            keys=variant_keys(stored, table["variant"], "box"),
            height=190,
            left=34,
        )
    ]
