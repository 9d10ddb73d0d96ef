"""The interactive view: what its menus draw, and the static figure without ipywidgets."""

import sys
from pathlib import Path

import pandas as pd
import pytest

import fpnprobe
from fpnprobe.notebook import detection_view, view
from fpnprobe.notebook.drawing import Drawing
from fpnprobe.run import Run

QUICKSTART = Path(__file__).parents[3] / "reports" / "quickstart"


@pytest.fixture(scope="module")
def run() -> Run:
    return fpnprobe.open(QUICKSTART).select(variant="FPN")


def test_one_moment_one_stage_one_route(run: Run) -> None:
    assert view.moments(run._stored) == 10
    drawing = view.at_moment(run._stored, 0, stages="C2", route="direct")
    assert set(drawing.figure.table["tap"]) == {"C2"}
    assert set(drawing.figure.table["route"]) == {"direct"}


def test_a_click_on_a_detection_shows_its_box_and_what_it_rests_on(run: Run) -> None:
    table = detection_view.choices(run.detections, run.images)
    assert len(table) and table["score"].min() >= detection_view.LEAST_SCORE
    chosen = table.iloc[0]
    shares = pd.DataFrame(
        {"variant": "FPN", "seed": 0, "image_id": chosen["image_id"], "kind": "detection",
         "object": chosen["detection"], "method": "integrated_gradients", "place": "stages",
         "level": ["C2", "C3"], "share": [0.25, 0.75]}
    )  # fmt: skip
    picture = run.features(int(chosen["image_id"]))
    drawing = detection_view.at_detection(chosen, table, shares, picture)
    assert [panel.title for panel in drawing.figure.panels] == ["the image", "its score by stages"]
    assert "C3: 75.0 %" in drawing.svg and str(chosen["label"]) in drawing.caption
    bare = detection_view.at_detection(chosen, table, shares.iloc[:0], picture)
    assert len(bare.figure.panels) == 1 and "--kind detection" in bare.caption


def test_without_ipywidgets_it_is_static(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    shown = run.view()
    assert isinstance(shown, Drawing) and shown.name == "shares-at-a-moment"


def test_with_ipywidgets_sliders_and_detections(run: Run) -> None:
    pytest.importorskip("ipywidgets", reason="pip install ipywidgets")
    shares, picked = run.view().children
    assert [each.description for each in shares.children[:3]] == ["moment", "stage", "route"]
    assert len(picked.children[0].options) == len(
        detection_view.choices(run.detections, run.images)
    )
