"""An interactive look at whose gradient reaches which stage; a static figure without ipywidgets."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from fpnprobe.figures import routes
from fpnprobe.figures.columns import rows
from fpnprobe.figures.svg import Panel
from fpnprobe.notebook.detection_view import at_detection, name_choice
from fpnprobe.notebook.drawing import Drawing
from fpnprobe.report.page.content import Figure
from fpnprobe.report.tables.gradient_shares import bucket_keys
from fpnprobe.report.tables.stored import Stored
from fpnprobe.store.feature_maps import Features


def at_moment(stored: Stored, moment: int, *, stages: str = "all", route: str = "all") -> Drawing:
    """The heat map of shares around one moment of training.

    Args:
        stored: All tables.
        moment: Number of the stretch of training, from 0.
        stages: One stage, or all.
        route: One route, or all.
    """
    table = _average_stretch(stored.gradients.history, moment)
    if stages != "all":
        table = table[table["tap"] == stages]
    if route != "all":
        table = table[table["route"] == route]
    table = table.assign(state="measured")
    when = f"near iteration {table['iteration'].mean():.0f}" if len(table) else "never"
    figure = Figure(
        "shares-at-a-moment",
        "Shares at one moment of training",
        f"Shares of the squared norm {when}, mean over seeds, percent.",
        [
            Panel(str(name), partial(routes.draw, rows))
            for name, rows in table.groupby("variant", sort=False)
        ],
        table,
        keys=bucket_keys(stored.buckets),
        height=38 * table["tap"].nunique() + 40,
        left=30,
        bottom=14,
    )
    return Drawing(figure)


def moments(stored: Stored) -> int:
    """Count the stretches of training that every cell has samples of."""
    history = stored.gradients.history
    if history.empty:
        return 0
    return int(history.groupby(["variant", "seed"])["iteration"].nunique().min())


def _average_stretch(history: pd.DataFrame, moment: int) -> pd.DataFrame:
    """The shares of the stretch of that number of each cell, averaged over seeds."""
    keys = ["variant", "seed", "tap", "route"]
    stretch = history.groupby([*keys, "bucket"])["iteration"].rank(method="dense") - 1
    rows = history[stretch == moment]
    grouped = rows.groupby(["variant", "tap", "route", "bucket"], sort=False)
    return grouped.agg(share=("share", "mean"), iteration=("iteration", "mean")).reset_index()


def view(
    stored: Stored,
    *,
    detections: pd.DataFrame,
    attribution: pd.DataFrame,
    picture: Callable[[pd.Series], Features],
) -> Any:
    """Sliders and menus over `at_moment`, and a list of detections to click.

    Without ipywidgets the last moment as a static figure.

    Args:
        stored: All tables.
        detections: Those that can be shown (`detection_view.choices`).
        attribution: What is stored of it.
        picture: The stored picture of a detection's image.
    """
    count = moments(stored)
    try:
        import ipywidgets
    except ImportError:
        return at_moment(stored, count - 1)
    taps = sorted(set(stored.gradients.history["tap"]))
    shares = ipywidgets.interactive(
        lambda moment, stage, route: at_moment(stored, moment, stages=stage, route=route),
        moment=ipywidgets.IntSlider(count - 1, 0, max(0, count - 1), description="moment"),
        stage=ipywidgets.Dropdown(options=["all", *taps], description="stage"),
        route=ipywidgets.Dropdown(options=["all", *routes.ROUTES], description="route"),
    )
    if detections.empty:
        return shares
    names = [(name_choice(row), at) for at, row in enumerate(rows(detections))]

    def show(detection: int) -> Drawing:
        selected_row = detections.iloc[detection]
        return at_detection(selected_row, detections, attribution, picture(selected_row))

    picked = ipywidgets.interactive(
        show, detection=ipywidgets.Select(options=names, rows=8, layout={"width": "60ch"})
    )
    return ipywidgets.VBox([shares, picked])
