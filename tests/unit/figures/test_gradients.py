"""Shares, paths, indices and cosines are drawn as the table has them."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from fpnprobe.figures import conflict, object_index, paths, prediction, routes, share_history

from .drawn import assert_needs_columns, bars, dots, lines, marks, ribbons, texts

BUCKETS = ("small", "medium", "large")
nan = float("nan")


def heat_map() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ("FPN", tap, route, bucket, share, "measured")
            for tap in ("C2", "C3")
            for route in ("total", "direct")
            for bucket, share in zip(BUCKETS, (0.86, 0.14, 0.0), strict=True)
        ]
        + [("FPN", "C4", "total", bucket, nan, "frozen") for bucket in BUCKETS],
        columns=list(routes.COLUMNS),
    )


def test_heat_map(ax: Axes) -> None:
    routes.draw(heat_map(), ax)
    assert [str(t.get_text()) for t in ax.get_yticklabels()] == ["C4", "C3", "C2"]
    cells = bars(ax)
    assert len(cells) == 15
    alphas = [float(cell.get_facecolor()[3]) for cell in cells[:3]]
    assert alphas == pytest.approx([0.05 + 0.42 * s for s in (0.86, 0.14, 0.0)], abs=1e-4)
    assert marks(ax)[0] == "FPN, C2 total, small: 86.0 %"
    assert marks(ax)[-1] == "FPN, C4 total, large: frozen"
    assert texts(ax).count("86") == 4
    assert texts(ax).count("frozen") == 3


def ways() -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for bucket, direct, deeper in zip(BUCKETS, (3.0, 1.0, 0.0), (1.0, 2.0, 1.0), strict=True):
        rows += [
            ("FPN", "C2", "direct", bucket, "", direct),
            ("FPN", "C2", "deeper", bucket, "", deeper),
            ("FPN", "C3", "direct", bucket, "", 2.0),
            ("FPN", "C3", "direct", bucket, "P2", 1.0),
            ("FPN", "C3", "direct", bucket, "P3", 3.0),
        ]
    return pd.DataFrame(rows, columns=["variant", "tap", "route", "bucket", "source", "l2"])


def test_parts_of_a_stage_sum_to_one() -> None:
    table = paths.parts(ways())
    assert table.groupby("tap")["part"].sum().tolist() == pytest.approx([1.0, 1.0])
    at = table.set_index(["tap", "route", "bucket", "source"])["part"]
    assert at["C2", "direct", "small", ""] == pytest.approx(9 / 16)
    # levels divide the bucket's whole (4 of 12) as 1 : 9
    assert at["C3", "direct", "large", "P2"] == pytest.approx(4 / 12 / 10)
    assert ("C3", "direct", "large", "") not in at.index


def test_paths_have_the_width_of_their_part(ax: Axes) -> None:
    table = paths.parts(ways())
    levels = pd.DataFrame(
        [("P2", b, s) for b, s in zip(BUCKETS, (0.9, 0.1, 0.0), strict=True)]
        + [("P3", b, nan) for b in BUCKETS],
        columns=["tap", "bucket", "share"],
    )
    paths.draw(table, ax, levels=levels)
    assert len(ribbons(ax)) == (table["part"] > 0).sum() == 11
    down = [p for p in ribbons(ax) if "deeper" in str(p.get_gid())]
    assert [float(np.ptp(p.get_path().vertices[:, 0])) for p in down] == pytest.approx(
        [1.12 * part for part in (1 / 16, 4 / 16, 1 / 16)]
    )
    across = [p for p in ribbons(ax) if "C2 direct, small" in str(p.get_gid())]
    ends = across[0].get_path().vertices[:, 1]
    assert float(ends[3] - ends[5]) == pytest.approx(1.12 * 9 / 16)
    shares = [bar for bar in bars(ax) if str(bar.get_gid()).startswith("mark:P2")]
    assert shares[0].get_width() / shares[1].get_width() == pytest.approx(9.0)
    assert "direct 62 %" in texts(ax)
    assert any("C3 direct from P2, large: 3.3 % of the stage" in text for text in marks(ax))


def test_no_pyramid_is_a_head(ax: Axes) -> None:
    table = paths.parts(ways().query("tap == 'C2'"))
    paths.draw(table, ax, levels=pd.DataFrame(columns=["tap", "bucket", "share"]))
    assert "head" in texts(ax)


def test_history(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", "C2", route, "large", i, s, 4) for route in ("total", "direct")
         for i, s in ((0, 0.2), (50, 0.3))],
        columns=list(share_history.COLUMNS),
    )  # fmt: skip
    share_history.draw(table, ax)
    assert dots(ax) == [(0, 20.0), (50, 30.0)]
    drawn = [line for line in lines(ax) if len(line.get_xdata()) == 2]
    assert [line.get_linestyle() for line in drawn] == ["-", "--"]
    assert marks(ax)[1] == "FPN, C2 total, large: 30.0 % near iteration 50 (4 samples)"


def test_index(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", "C2", "direct", 0.53), ("FPN", "C3", "direct", 0.9), ("DC5", "C2", "direct", nan)],
        columns=list(object_index.COLUMNS),
    )
    colors = {"FPN": "#c8453b", "DC5": "#6b737d"}
    object_index.draw(table, ax, colors=colors, taps=["C2", "C3"])
    assert dots(ax) == [(0, 0.53), (1, 0.9)]
    assert any(list(line.get_ydata()) == [1 / 3, 1 / 3] for line in lines(ax))


def test_conflict(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", "C2", "small", "large", -0.31), ("FPN", "C3", "small", "large", nan),
         ("FPN", "C2", "small", "medium", 0.2), ("FPN", "C3", "small", "medium", 0.0)],
        columns=list(conflict.COLUMNS),
    )  # fmt: skip
    conflict.draw(table, ax)
    assert "−0.31" in texts(ax) and "–" in texts(ax)
    assert float(bars(ax)[0].get_facecolor()[3]) == pytest.approx(0.05 + 0.42 * 0.31, abs=1e-4)
    assert marks(ax)[1].endswith("not measured")


def test_prediction(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", 0, 19.0, 37.7), ("DC5", 0, 50.0, 41.7), ("DC5", 1, nan, 40.0)],
        columns=list(prediction.COLUMNS),
    )
    prediction.draw(table, ax, colors={"FPN": "#c8453b", "DC5": "#6b737d"}, x="share, %", y="AP_L")
    assert dots(ax) == [(19.0, 37.7), (50.0, 41.7)]


def test_a_missing_column_raises(ax: Axes) -> None:
    levels = pd.DataFrame(columns=["tap", "bucket", "share"])
    for module, more in (
        (routes, {}), (share_history, {}), (conflict, {}), (paths, {"levels": levels}),
        (object_index, {"colors": {}, "taps": []}),
        (prediction, {"colors": {}, "x": "", "y": "AP_L"}),
    ):  # fmt: skip
        table = pd.DataFrame(columns=list(module.COLUMNS))
        assert_needs_columns(partial(module.draw, **more), table, ax)
