"""A figure of a run saves itself in the size that it will have on paper, and gives its Axes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from fpnprobe.errors import FpnProbeError
from fpnprobe.figures.svg import Panel
from fpnprobe.notebook.drawing import Drawing
from fpnprobe.report.page.content import Figure


def draw(ax: Axes) -> None:
    ax.plot([0, 1], [0, 1])


@pytest.fixture
def drawing() -> Drawing:
    table = pd.DataFrame({"x": [0, 1]})
    return Drawing(Figure("line", "A line", "It rises.", [Panel("up", draw)] * 2, table))


@pytest.mark.parametrize(
    ("kind", "start"), [("svg", b"<svg "), ("pdf", b"%PDF"), ("png", b"\x89PNG")]
)
def test_it_is_saved_as(drawing: Drawing, kind: str, start: bytes, tmp_path: Path) -> None:
    path = drawing.save(tmp_path / "new" / f"a.{kind}", width="3.3in", font=8, dpi=72)
    assert path.read_bytes().startswith(start)


def test_it_has_its_width_and_its_letters_their_size(drawing: Drawing, tmp_path: Path) -> None:
    text = drawing.save(tmp_path / "a.svg", width="84mm", font=7).read_text()
    assert 'width="238.11pt"' in text
    room = float(text.partition('viewBox="0 0 ')[2].split()[0])
    assert 238.11 / room * 10.5 == pytest.approx(7, rel=0.02)
    assert "#ffffff" in text, "its own ground"


@pytest.mark.parametrize("width", ["wide", "3.3", 0.1, "3in wide"])
def test_a_width_that_is_none(drawing: Drawing, width: str | float, tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match=r"3\.3in"):
        drawing.save(tmp_path / "a.pdf", width=width)


def test_an_ending_that_is_none(drawing: Drawing, tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match=r"\.svg, \.pdf or \.png"):
        drawing.save(tmp_path / "a.jpg")
    with pytest.raises(FpnProbeError, match="font"):
        drawing.save(tmp_path / "a.pdf", font=0)


def test_its_axes_are_matplotlibs(drawing: Drawing) -> None:
    first, second = drawing.axes()
    assert np.asarray(first.lines[0].get_xdata()).tolist() == [0, 1]
    assert first.figure is second.figure


def test_in_a_notebook_it_stands_on_white(drawing: Drawing) -> None:
    page = drawing._repr_html_()
    assert "background:#fff" in page and "It rises." in page
