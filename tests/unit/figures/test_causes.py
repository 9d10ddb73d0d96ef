"""The figures of interventions show their tables: every interval, every silenced path."""

import math
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from fpnprobe.errors import FpnProbeError
from fpnprobe.figures import causes, changed_paths
from fpnprobe.interventions import READY_MADE, intervention
from fpnprobe.report.sections.interventions.intervention_paths import Changed, paths

NAN = float("nan")
COLORS = {"FPN~cut-direct": "#c8453b", "FPN~balanced": "#c8453b"}


def effect(variant: str, **changes: Any) -> dict[str, Any]:
    return {
        "variant": variant, "twin": "FPN", "metric": "AP", "difference": -20.0, "low": -24.0,
        "high": -16.0, "low_images": -21.0, "high_images": -19.0, "seeds": (-22.0, -18.0),
        **changes,
    }  # fmt: skip


def said(ax: Any) -> list[str]:
    found = [artist.get_gid() for artist in ax.get_children()]
    return [str(gid) for gid in found if gid]


def test_effects_show_both_intervals_and_every_seed() -> None:
    ax = Figure().add_subplot()
    table = pd.DataFrame(
        [
            effect("FPN~cut-direct"),
            effect("FPN~balanced", difference=1.0, low=NAN, high=NAN, seeds=(1.0,)),
            effect("FPN~balanced", difference=NAN),
        ]
    )
    causes.draw(table, ax, colors=COLORS)
    first = [
        tuple(line.get_xdata()) for line in list[Any](ax.lines) if set(line.get_ydata()) == {0}
    ]
    assert (-24.0, -16.0) in first  # over seeds and images
    assert (-21.0, -19.0) in first  # over images alone
    assert (-22.0, -18.0) in first  # the seeds
    second = [
        tuple(line.get_xdata()) for line in list[Any](ax.lines) if set(line.get_ydata()) == {1}
    ]
    assert sorted(second) == [(-21.0, -19.0), (1.0,)]
    low, high = ax.get_xlim()
    assert low < -24
    assert high > 0
    assert [t.get_text() for t in ax.texts] == ["−20.0", "+1.0", "  not measured"]
    assert "-24.0 to -16.0 over seeds and images" in said(ax)[0]


def table_of(name: str) -> pd.DataFrame:
    return paths([Changed("FPN~x", "FPN", intervention(name))], ["small", "medium", "large"])


@pytest.mark.parametrize(
    ("name", "route", "buckets", "gain"),
    [
        ("cut-direct", "direct", {"small", "medium", "large", "background"}, 0.0),
        ("cut-deeper", "deeper", {"small", "medium", "large", "background"}, 0.0),
        ("no-small-direct", "direct", {"small"}, 0.0),
        ("no-large-direct", "direct", {"large"}, 0.0),
        ("balanced", "direct", {"small", "medium", "large"}, NAN),
    ],
)
def test_paths_are_those_of_the_intervention(
    name: str, route: str, buckets: set[str], gain: float
) -> None:
    table = table_of(name)
    touched = table[table["gain"] != 1]
    assert set(touched["stage"]) == {"C2", "C3", "C4"}
    assert set(touched["route"]) == {route}
    assert set(touched["bucket"]) == buckets
    assert all(g == gain or (math.isnan(g) and math.isnan(gain)) for g in touched["gain"])
    assert not ((table["stage"] == "C5") & (table["route"] == "deeper")).any()


@pytest.mark.parametrize("name", READY_MADE)
def test_silenced_lines_are_dashed_and_marked(name: str) -> None:
    ax = Figure().add_subplot()
    table = table_of(name)
    changed_paths.draw(table, ax)
    lines = [line for line in list[Any](ax.lines) if len(line.get_xdata()) == 2]
    assert len(lines) == len(table)
    dashed = [line for line in lines if line.get_linestyle() != "-"]
    assert len(dashed) == int((table["gain"] == 0).sum())
    signs = [t.get_text() for t in ax.texts if t.get_text() in "×="]
    assert signs == ["=" if name == "balanced" else "×"] * 3


def test_factors_and_auxiliary_heads_are_named() -> None:
    from fpnprobe.interventions import Intervention

    change = Intervention.of([{"stages": "C3", "route": "auxiliary", "gain": 2.5}])
    table = paths([Changed("mine", "FPN-Aux", change)], ["small"])
    ax = Figure().add_subplot()
    changed_paths.draw(table, ax)
    texts = [t.get_text() for t in ax.texts]
    assert "×2.5" in texts
    assert texts.count("aux") == 4


def test_a_missing_column_is_refused() -> None:
    with pytest.raises(FpnProbeError, match="no column gain"):
        changed_paths.draw(table_of("balanced").drop(columns="gain"), Figure().add_subplot())
    with pytest.raises(FpnProbeError, match="no column seeds"):
        causes.draw(
            pd.DataFrame([effect("a")]).drop(columns="seeds"), Figure().add_subplot(), colors={}
        )
