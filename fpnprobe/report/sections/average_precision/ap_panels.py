"""Panels of AP bars, one for each size of objects."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from fpnprobe.figures import ap_bars
from fpnprobe.figures.svg import Panel
from fpnprobe.report.tables.stored import Stored

SIZES = {"AP": "all sizes", "AP_S": "small", "AP_M": "medium", "AP_L": "large"}


def bar_panels(table: pd.DataFrame, metrics: Sequence[str], stored: Stored) -> list[Panel]:
    """Make the panel of every metric; all share one reach of their axis."""
    limit, colors = ap_bars.reach(table), stored.colors
    return [
        Panel(
            f"{stored.name_metric(metric)}, {SIZES[metric]}",
            partial(ap_bars.draw, table[table["metric"] == metric], colors=colors, limit=limit),
        )
        for metric in metrics
    ]
