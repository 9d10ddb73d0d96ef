"""DC5 has no pyramid: the one map that its head reads is no level, in no figure and no table."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from fpnprobe.figures import changed_paths
from fpnprobe.interventions.named import intervention
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.page.drawings import draw
from fpnprobe.report.sections.gradients import figure2_paths
from fpnprobe.report.sections.interventions.intervention_paths import Changed, paths
from fpnprobe.report.sections.model import figure5_feature_maps
from fpnprobe.report.tables.pyramids import drop_single_level, variants_with_pyramid
from fpnprobe.report.tables.read_studies import read
from fpnprobe.store.feature_maps import Features

QUICKSTART = Path(__file__).parents[4] / "reports" / "quickstart"


def only_figures(blocks: list[Block]) -> list[Figure]:
    return [block for block in blocks if isinstance(block, Figure)]


def test_several_levels_of_taps_or_losses_are_a_pyramid() -> None:
    stages = pd.DataFrame(
        [("DC5", "L5"), ("DC5", "all"), ("watched", "L3"), ("watched", "L4"), ("FPN", "all")],
        columns=["variant", "term"],
    )
    levels = pd.DataFrame([("DC5", "P5"), ("FPN", "P2"), ("FPN", "P3")], columns=["variant", "tap"])
    assert variants_with_pyramid(stages, levels) == {"FPN", "watched"}


def test_a_single_level_is_left_out_and_several_stay() -> None:
    one = Features(
        image_id=1, maps={"C5": np.ones((2, 2)), "P5": np.ones((2, 2))}, boxes=np.zeros((0, 4)),
        areas=np.zeros(0), labels=np.zeros(0, dtype=int), size=(8, 8),
        image=np.zeros((8, 8, 3), dtype=np.uint8),
    )  # fmt: skip
    assert set(drop_single_level(one).maps) == {"C5"}


def test_no_figure_of_a_stored_study_draws_a_level_of_dc5() -> None:
    stored = read([QUICKSTART])
    assert "P5" in set(stored.gradients.shares.query("variant == 'DC5'")["tap"])  # its head's input
    (maps, energy) = only_figures(figure5_feature_maps.figure(stored))
    for figure in (maps, energy):
        taps = set(figure.table.loc[figure.table["variant"] == "DC5", "tap"])
        assert taps == {"C2", "C3", "C4", "C5"}
        assert "DC5 P5" not in draw(figure).wide
    paths_figure = only_figures(figure2_paths.figure(stored))[0]
    assert [panel.title for panel in paths_figure.panels] == ["DC5", "FPN"]
    text = draw(paths_figure).wide
    assert ">head<" in text and text.count(">P5<") == 1


def test_an_intervention_on_dc5_is_drawn_with_its_head() -> None:
    for variant, places in (("DC5~x", ["head"]), ("s: FPN~x", ["P2", "P3", "P4", "P5"])):
        table = paths([Changed(variant, variant[:-2], intervention("cut-deeper"))], ["small"])
        ax = changed_paths.draw(table, Canvas().subplots())
        names = [text.get_text() for text in ax.texts]
        assert [name for name in names if name[0] in "Ph" and "%" not in name] == places
