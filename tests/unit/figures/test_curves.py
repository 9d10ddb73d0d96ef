"""Curves and maps are drawn as the table has them."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from fpnprobe.figures import curves, feature_maps, kept_weights, size_curve

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
    assert [p.get_width() for p in list[Any](ax.patches)] == [32.0, 32.0]
    assert texts(ax) == ["S 25  L 50 %"]
    assert marks(ax) == ["FPN P2: energy inside small boxes 25.0 %, large boxes 50.0 %"]


@pytest.mark.parametrize(("value", "said"), [(0.125, "+0.12"), (-0.01, "−0.01"), (nan, "–")])
def test_compactness_beside_a_map(ax: Axes, value: float, said: str) -> None:
    boxes = pd.DataFrame(columns=list(feature_maps.COLUMNS))
    feature_maps.draw(
        boxes, ax, values=np.ones((3, 4)), size=(4.0, 3.0), top=1.0, energy={"small": 0.5},
        label="FPN P2", buckets=["small"], compactness=value,
    )  # fmt: skip
    assert texts(ax) == [f"\ncompact {said}", "S 50 %"]
    assert marks(ax)[0] == f"FPN P2: channel-group compactness {said}"


def test_a_missing_column_raises(ax: Axes) -> None:
    for module, more in (
        (size_curve, {"colors": {}}),
        (curves, {"colors": {}, "what": "AP"}),
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
