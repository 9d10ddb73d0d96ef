"""The table of the numbers behind the snapshots: shares and index by iterations trained."""

import pandas as pd

from fpnprobe.figures.columns import rows
from fpnprobe.report.page.content import Table

_GROUP = ["variant", "tap", "route", "quantity", "bucket"]


def table(means: pd.DataFrame) -> Table:
    """Write a row per variant, stage, route and quantity, a column per moment."""
    moments = sorted(set(means["trained"]))
    records = []
    for (variant, tap, route, quantity, bucket), rows_of_variant in means.groupby(
        _GROUP, sort=False
    ):
        share = quantity == "share"
        record = {
            "variant": variant, "stage": tap, "route": route,
            "of": f"{bucket} objects, %" if share else "index",
        }  # fmt: skip
        for row in rows(rows_of_variant):
            record[str(row.trained)] = _write_spread(row, 100 if share else 1, 1 if share else 2)
        records.append(record)
    names = [str(moment) for moment in moments]
    frame = pd.DataFrame(records, columns=["variant", "stage", "route", "of", *names])
    return Table(
        "kept-numbers",
        "Shares and index by iterations trained",
        "Mean over seeds, with the lowest and the highest seed in brackets; columns are "
        "iterations trained.",
        frame,
        {name: name for name in frame.columns},
        dict.fromkeys(names, "{}"),
        folded=True,
    )


def _write_spread(row: object, scale: float, digits: int) -> str | None:
    value, low, high = (scale * float(getattr(row, name)) for name in ("value", "low", "high"))
    if value != value:
        return None
    text = f"{value:.{digits}f}"
    several = getattr(row, "seeds", 0) > 1
    return f"{text} [{low:.{digits}f}, {high:.{digits}f}]" if several else text
