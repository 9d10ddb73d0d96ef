"""Curves and maps are drawn as the table has them."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from fpnprobe.figures import curves, energy, feature_maps, kept_weights, line_ends, size_curve

from .drawn import assert_needs_columns, dots, lines, marks, texts

COLORS = {"FPN": "#c8453b", "DC5": "#6b737d"}
nan = float("nan")


def test_size_curve(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", 45.0, 40.0, 38.0, 42.0, 90), ("FPN", 9.0, 36.0, 33.0, 39.0, 100),
         ("FPN", 120.0, nan, nan, nan, 0)],
        columns=list(size_curve.COLUMNS),
    )  # fmt: skip
    size_curve.draw(table, ax, colors=COLORS, borders=[24.0, 72.0])
    assert dots(ax) == [(9.0, 36.0), (45.0, 40.0)]
    assert marks(ax)[0] == "FPN, objects near 9 px: AP 36.0, band 33.0 to 39.0 (100 objects)"
    band = ax.collections[0].get_paths()[0].vertices
    assert {33.0, 39.0, 38.0, 42.0} <= set(np.asarray(band)[:, 1].tolist())
    borders = {float(x) for line in lines(ax) for x in line.get_xdata()} & {24.0, 72.0}
    assert borders == {24.0, 72.0}
    assert ax.get_xscale() == "log"


def test_curves(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", 500, 37.0, 3), ("FPN", 250, 22.0, 3), ("DC5", 250, nan, 0)],
        columns=list(curves.COLUMNS),
    )
    curves.draw(table, ax, colors=COLORS, what="AP")
    assert dots(ax) == [(250, 22.0), (500, 37.0)]
    assert marks(ax)[1] == "FPN, AP at iteration 500: 37"


def test_feature_map(ax: Axes) -> None:
    boxes = pd.DataFrame([(8.0, 8.0, 40.0, 24.0, "small")], columns=list(feature_maps.COLUMNS))
    values = np.arange(12.0).reshape(3, 4)
    feature_maps.draw(
        boxes, ax, values=values, size=(64.0, 48.0), top=20.0,
        energy={"small": 0.25, "large": 0.5}, label="FPN P2", buckets=["small", "large"],
    )  # fmt: skip
    (image,) = ax.images
    assert np.array_equal(np.asarray(image.get_array()), values)
    assert (image.norm.vmin, image.norm.vmax) == (0, 20.0)
    assert [p.get_width() for p in list[Any](ax.patches)] == [32.0, 32.0, 64.0]
    assert texts(ax) == []
    assert marks(ax) == ["FPN P2: energy inside small boxes 25.0 %, large boxes 50.0 %"]


def test_the_color_bar_says_its_ends(ax: Axes) -> None:
    feature_maps.draw_scale(ax, top=4.0, title="stages C")
    (bar,) = ax.child_axes
    assert [str(tick.get_text()) for tick in bar.get_xticklabels()] == ["0", "1", "4"]
    assert isinstance(bar, Axes) and bar.get_title(loc="left") == "stages C"


def test_energy_of_maps(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", "C2", "large", 0.4, 0.1, 4.0), ("FPN", "P2", "large", 0.25, 0.1, 2.5),
         ("DC5", "C2", "large", 0.5, 0.1, 5.0)],
        columns=list(energy.COLUMNS),
    )  # fmt: skip
    energy.draw(table, ax, reach=5.0)
    assert {"4.0", "2.5", "5.0"} <= set(texts(ax))
    said = "FPN P2: 25.0 % of the energy is in the cells that large boxes touch, 10.0 % of the map"
    assert said in marks(ax)[1]


def test_labels_at_line_ends_do_not_lie_on_each_other(ax: Axes) -> None:
    ax.set_ylim(0, 100)
    for name, at in (("FPN", 50.0), ("DC5", 51.0), ("FPN~cut-direct", 99.0)):
        line_ends.label_end(ax, at, name)
    line_ends.spread(ax, 100.0)
    places = sorted(text.get_position()[1] for text in ax.texts)
    assert np.diff(places).min() >= 10.5
    assert "~cut-direct" in texts(ax)


def test_a_missing_column_raises(ax: Axes) -> None:
    for module, more in (
        (size_curve, {"colors": {}}),
        (curves, {"colors": {}, "what": "AP"}),
        (energy, {"reach": 1.0}),
        (kept_weights, {"colors": {}, "what": "", "unit": "", "limits": (0, 1)}),
        (
            feature_maps,
            {"values": np.ones((1, 1)), "size": (1, 1), "top": 1.0, "energy": {}, "label": "",
             "buckets": []},
        ),
    ):  # fmt: skip
        table = pd.DataFrame(columns=list(module.COLUMNS))
        assert_needs_columns(partial(module.draw, **more), table, ax)


def test_a_size_curve_without_borders(ax: Axes) -> None:
    table = pd.DataFrame([("DC5", 9.0, 1.0, nan, nan, 3)], columns=list(size_curve.COLUMNS))
    size_curve.draw(table, ax, colors=COLORS)
    assert marks(ax) == ["DC5, objects near 9 px: AP 1.0 (3 objects)"]
    assert dots(ax) == [pytest.approx((9.0, 1.0))]


def test_kept_weights(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", 500, 12.0, 9.0, 15.0, 3), ("FPN", 100, 30.0, 25.0, 36.0, 3),
         ("DC5", 100, 50.0, 50.0, 50.0, 1), ("DC5", 500, nan, nan, nan, 0)],
        columns=list(kept_weights.COLUMNS),
    )  # fmt: skip
    kept_weights.draw(table, ax, colors=COLORS, what="C2 total", unit=" %", limits=(0, 100))
    assert sorted(dots(ax)) == [(100, 30.0), (100, 50.0), (500, 12.0)]
    assert marks(ax)[0] == "FPN, C2 total after 100 iterations: 30.0 %, 25.0 to 36.0 over 3 seeds"
    assert marks(ax)[-1] == "DC5, C2 total after 100 iterations: 50.0 %"
    (band,) = ax.collections
    corners = np.asarray(band.get_paths()[0].vertices)
    assert {(100.0, 25.0), (100.0, 36.0), (500.0, 9.0), (500.0, 15.0)} <= set(map(tuple, corners))
    assert ax.get_ylim() == (0, 100)
