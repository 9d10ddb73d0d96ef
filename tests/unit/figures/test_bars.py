"""Bars and differences stand at the table's values."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from fpnprobe.figures import ap_bars, differences, error_types, modules, probe_cost

from .drawn import assert_needs_columns, bars, dots, lines, marks, texts

COLORS = {"DC5": "#6b737d", "FPN": "#c8453b", "FPN~cut": "#c8453b"}
nan = float("nan")


@pytest.fixture
def ap() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ("DC5", 41.7, 38.0, 45.4, (41.2, 42.2), 53.3),
            ("FPN", 36.2, nan, nan, (36.2,), nan),
            ("FPN~cut", nan, nan, nan, (), nan),
        ],
        columns=list(ap_bars.COLUMNS),
    )


def test_ap_bars(ap: pd.DataFrame, ax: Axes) -> None:
    ap_bars.draw(ap, ax, colors=COLORS)
    assert [bar.get_width() for bar in bars(ax)] == [41.7, 36.2]
    assert "not measured" in texts(ax)
    assert marks(ax) == [
        "DC5: 41.7, interval 38.0 to 45.4; seeds 41.2, 42.2; paper 53.3",
        "FPN: 36.2",
    ]
    interval = next(line for line in lines(ax) if list(line.get_xdata()) == [38.0, 45.4])
    assert interval.get_ydata()[0] == 0
    (paper,) = [line for line in lines(ax) if line.get_marker() == "D"]
    assert list(paper.get_xdata()) == [53.3]
    seeds = [point for each in ax.collections for point in np.asarray(each.get_offsets()).tolist()]
    assert sorted(seeds) == [[41.2, 0.0], [42.2, 0.0]]


def test_ap_bars_share_an_axis(ap: pd.DataFrame, ax: Axes) -> None:
    assert ap_bars.reach(ap) == 53.3
    ap_bars.draw(ap.head(1), ax, colors=COLORS, limit=80.0)
    assert ax.get_xlim()[1] > 80


def test_differences(ax: Axes) -> None:
    table = pd.DataFrame(
        [
            ("FPN", "DC5", "AP_S", 36.3, 31.3, 41.3, "both"),
            ("FPN", "DC5", "AP_L", -5.5, nan, nan, "seeds"),
            ("FPN", "DC5", "AP_M", nan, nan, nan, "seeds"),
        ],
        columns=list(differences.COLUMNS),
    )
    differences.draw(table, ax, colors=COLORS)
    assert dots(ax) == [(36.3, 0), (-5.5, 1)]
    assert marks(ax)[0] == "FPN − DC5, AP_S: +36.3, interval +31.3 to +41.3 (both)"
    assert "interval" not in marks(ax)[1]
    assert texts(ax) == ["+36.3", "−5.5", "  not measured"]


def test_error_types(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", b, e, v) for e, b, v in [("Loc", "small", 2.0), ("Loc", "large", 3.0),
                                           ("Miss", "small", nan), ("Miss", "large", 7.0)]],
        columns=list(error_types.COLUMNS),
    )  # fmt: skip
    error_types.draw(table, ax, reach=10.0)
    assert [bar.get_width() for bar in bars(ax)] == [2.0, 3.0, 7.0]
    assert ax.get_xlim()[1] == pytest.approx(10.5)
    assert marks(ax)[-1] == "FPN, Miss, large: 7.0 points"


def test_probe_cost(ax: Axes) -> None:
    table = pd.DataFrame(
        [("DC5", 3, 1.8, 2.0), ("FPN", 3, 2.6, nan), ("FPN~cut", 1, nan, nan)],
        columns=list(probe_cost.COLUMNS),
    )
    probe_cost.draw(table, ax, colors=COLORS)
    assert [bar.get_width() for bar in bars(ax)] == [1.8, 2.6]
    assert [list(line.get_xdata()) for line in lines(ax)] == [[2.0, 2.0]]
    assert "budget 2.0 %" in marks(ax)[0]


def test_modules(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", "neck", "FPN", "64 × 48 × 48", 1000.0), ("FPN", "head", "RPN", "", nan)],
        columns=list(modules.COLUMNS),
    )
    modules.draw(table, ax, colors=COLORS, reach=2000.0)
    assert bars(ax)[0].get_width() == pytest.approx(0.15)
    assert marks(ax) == [
        "FPN, neck (FPN): 64 × 48 × 48, 1,000 parameters",
        "FPN, head (RPN): no shape, parameters unknown",
    ]
    assert "1.0 k" in texts(ax)


def test_a_missing_column_raises(ap: pd.DataFrame, ax: Axes) -> None:
    assert_needs_columns(partial(ap_bars.draw, colors=COLORS), ap, ax)
    assert_needs_columns(
        partial(differences.draw, colors=COLORS),
        pd.DataFrame(columns=list(differences.COLUMNS)), ax,
    )  # fmt: skip
    for module, more in (
        (error_types, {"reach": 1.0}),
        (probe_cost, {"colors": {}}),
        (modules, {"colors": {}, "reach": 1.0}),
    ):
        table = pd.DataFrame(columns=list(module.COLUMNS))
        assert_needs_columns(partial(module.draw, **more), table, ax)


def test_hatched_intervention(ax: Axes) -> None:
    table = pd.DataFrame([("FPN~cut", 17.0, nan, nan, (17.0,), nan)], columns=list(ap_bars.COLUMNS))
    ap_bars.draw(table, ax, colors=COLORS)
    assert bars(ax)[0].get_hatch() == "////"
    assert np.allclose(bars(ax)[0].get_width(), 17.0)


def test_an_interval_wider_than_all_else_is_cut(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", 30.0, -40.0, 100.0, (24.0, 36.0), nan)], columns=list(ap_bars.COLUMNS)
    )
    assert ap_bars.reach(table) == pytest.approx(48)
    ap_bars.draw(table, ax, colors={"FPN": "#c8453b"})
    whisker, arrow = lines(ax)[:2]
    assert list(whisker.get_xdata()) == [0.0, pytest.approx(48)]
    assert arrow.get_marker() == ">"
    assert "interval -40.0 to 100.0" in marks(ax)[0]


def test_a_cut_difference_keeps_its_words(ax: Axes) -> None:
    table = pd.DataFrame(
        [("FPN", "DC5", "AP", -5.0, -90.0, 80.0, "both")], columns=list(differences.COLUMNS)
    )
    differences.draw(table, ax, colors={"FPN": "#c8453b"}, cap=7.5)
    whisker = lines(ax)[1]
    assert list(whisker.get_xdata()) == [-7.5, 7.5]
    assert [line.get_marker() for line in lines(ax)[2:4]] == ["<", ">"]
    assert marks(ax) == ["FPN − DC5, AP: −5.0, interval −90.0 to +80.0 (both)"]
