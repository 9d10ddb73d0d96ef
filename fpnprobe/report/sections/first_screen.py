"""The table of the first screen: each variant's AP by size, and what large objects send to C2."""

from collections.abc import Sequence

import pandas as pd

from fpnprobe.figures.columns import rows
from fpnprobe.report.page.content import Block, Table
from fpnprobe.report.tables.average_precision import METRICS, by_variant
from fpnprobe.report.tables.gradient_shares import first_stage
from fpnprobe.report.tables.share_intervals import measured_on, sampled_over, share_intervals
from fpnprobe.report.tables.stored import Stored


def variants(stored: Stored) -> list[Block]:
    """The table; nothing where neither AP nor a share was measured."""
    ap, shares = by_variant(stored), share_intervals(stored)
    tap = first_stage(shares) if len(shares) else ""
    large = stored.buckets[-1]
    at = shares[(shares["tap"] == tap) & (shares["bucket"] == large)] if tap else shares[:0]
    at = at[at["route"] == "total"] if len(at) else at
    measured = [m for m in METRICS if ap.loc[ap["metric"] == m, "value"].notna().any()]
    if not measured and at.empty:
        return []
    records = []
    for name in stored.variants:
        record: dict[str, object] = {"variant": name, "seeds": _count_seeds(stored, name)}
        for row in rows(ap[(ap["variant"] == name) & ap["metric"].isin(measured)]):
            record[row.metric] = _with_interval(row.value, row.low, row.high)
        for row in rows(at[at["variant"] == name]):
            share = _with_interval(100 * row.share, 100 * row.low, 100 * row.high, 0)
            if share is not None and row.state == "would_arrive":
                share += f" (would arrive; {tap} is frozen)"
            record["share"] = share
        records.append(record)
    columns = ["variant", "seeds", *measured, *(["share"] if len(at) else [])]
    frame = pd.DataFrame(records).reindex(columns=columns)
    return [
        Table(
            "variants",
            "The variants",
            _write_caption(stored, ap, at),
            frame,
            {
                "variant": "variant", "seeds": "seeds",
                **{metric: stored.name_metric(metric) for metric in measured},
                **({"share": f"{large} at {tap}, %"} if len(at) else {}),
            },
            dict.fromkeys([*measured, "share"], "{}"),
        )
    ]  # fmt: skip


def _count_seeds(stored: Stored, variant: str) -> int:
    return len({cell.seed for cell in stored.done if cell.variant == variant})


def _with_interval(value: float, low: float, high: float, digits: int = 1) -> str | None:
    """A value with its interval in brackets, as far as they are known."""
    if value != value:
        return None
    text = f"{value:.{digits}f}"
    if low == low and high == high:
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return text.replace("-", "−")


def _write_caption(stored: Stored, ap: pd.DataFrame, shares: pd.DataFrame) -> str:
    clauses: list[str] = []
    if ap["value"].notna().any():
        clauses.append("AP in points" + _name_source(ap))
    if len(shares):
        over = (
            f", 95 % interval over {sampled_over(shares, stored)}"
            if shares["low"].notna().any()
            else ""
        )
        clauses.append(
            f"the last column is the share of {stored.buckets[-1]} objects in the squared norm of "
            f"all objects' gradient at {shares['tap'].iloc[0]}, {measured_on(stored)}{over}"
        )
    text = "; ".join(clauses)
    return f"{text[:1].upper()}{text[1:]}."


def _name_source(ap: pd.DataFrame) -> str:
    """Say what the intervals of AP cover."""
    counts: Sequence[int] = [len(seeds) for seeds in ap["seeds"] if len(seeds)]
    if max(counts, default=0) < 2:
        return ", one seed: without an interval (differences have one, over images)"
    if min(counts) < 2:
        return ", mean with 95 % t interval over seeds where there are several"
    return ", mean with 95 % t interval over seeds"
