"""What a training wrote down, as curves: losses by part, learning rate, uncertainty by stage."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fpnprobe.report.page.content import Figure
from fpnprobe.report.sections import caveats, training
from fpnprobe.report.sections.training import training_losses
from fpnprobe.report.tables.read_studies import read

Make = Callable[..., Path]


def write(folder: Path, rows: list[tuple[int, str, float]]) -> None:
    table = pd.DataFrame(rows, columns=["iteration", "name", "value"])
    table.to_parquet(folder / "training.parquet")


def figures(folder: Path) -> dict[str, Figure]:
    section = training.section(read([folder]))
    assert section is not None
    return {block.name: block for block in section.blocks if isinstance(block, Figure)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_anywhere: Any) -> Path:
    path: Path = make_anywhere(
        tmp_path_factory.mktemp("study"), variants=("FPN", "FPN-AuxU"), seeds=(0, 1), training=True
    )
    return path


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("loss", "total"),
        ("loss_rpn_bbox", "proposals"),
        ("loss_cls", "head: classes"),
        ("loss_bbox", "head: boxes"),
        ("loss_mask", "head: masks"),
        ("s2.loss_cls", "head: classes"),
        ("stage5_loss_iou", "head: boxes"),
        ("loss_centerness", "head: boxes"),
        ("positive_bag_loss", "head: other terms"),
        ("aux4.loss_bbox", "auxiliary: boxes"),
    ],
)
def test_parts(name: str, part: str) -> None:
    assert training_losses.name_part(name) == part


def test_panels_are_parts_that_add_up(folder: Path) -> None:
    figure = figures(folder)["losses"]
    assert [panel.title for panel in figure.panels] == [
        "total loss", "proposals", "head: classes", "head: boxes", "auxiliary: classes",
        "auxiliary: boxes",
    ]  # fmt: skip
    wide = figure.table.pivot_table("value", ["variant", "iteration"], "name", sort=False)
    rest = wide.drop(columns="total").sum(axis=1)
    pd.testing.assert_series_equal(rest, wide["total"], check_names=False)
    assert set(figure.table["seeds"]) == {2}
    assert "fell, to between" in figure.caption and "do not compare" in figure.caption


def test_a_stretch_is_the_mean_of_its_samples(make_study: Make) -> None:
    folder = make_study(variants=("FPN",))
    write(folder / "cells/fpn/seed-0", [(i, "loss", 240.0 - i) for i in range(240)])
    table = figures(folder)["losses"].table
    assert table["iteration"].tolist() == [10 * at + 4.5 for at in range(24)]
    assert table["value"].iloc[0] == pytest.approx(240 - 4.5)


def test_a_loss_that_does_not_fall_is_said(make_study: Make) -> None:
    folder = make_study(variants=("DC5", "FPN"))
    for name, slope in (("dc5", -1.0), ("fpn", 1.0)):
        rows = [(i, "loss", 100 + slope * i) for i in range(48)]
        write(folder / f"cells/{name}/seed-0", rows)
    said = "The total loss of FPN did not fall: read its parts before you trust its numbers."
    assert said in figures(folder)["losses"].caption
    assert said in caveats.warnings(read([folder]))


@pytest.mark.parametrize(
    ("zero", "sentence"),
    [
        (("dc5", "fpn"), "AP was 0 throughout: nothing was learned yet."),
        (("dc5",), "AP of DC5 was 0 throughout: nothing was learned yet. FPN still improved"),
    ],
)
def test_an_ap_that_never_left_0_has_not_settled(
    make_study: Make, zero: tuple[str, ...], sentence: str
) -> None:
    folder = make_study(variants=("DC5", "FPN"))
    for name in zero:
        path = folder / f"cells/{name}/seed-0/evaluation.parquet"
        pd.read_parquet(path).assign(value=0.0).to_parquet(path)
    caption = figures(folder)["learning-curves"].caption
    assert caption.startswith(sentence) and "settled" not in caption


def test_one_schedule_is_one_line(folder: Path, make_study: Make) -> None:
    figure = figures(folder)["learning-rate"]
    assert "One schedule for all variants" in figure.caption and "0.0019" in figure.caption
    assert not figure.keys
    (drawn,) = {panel.draw.keywords["what"] for panel in figure.panels}  # type: ignore[attr-defined]
    assert drawn == "learning rate"
    assert set(figure.panels[0].draw.args[0]["variant"]) == {"all variants"}  # type: ignore[attr-defined]
    other = make_study(variants=("DC5", "FPN"))
    for name, rate in (("dc5", 0.1), ("fpn", 0.2)):
        write(other / f"cells/{name}/seed-0", [(i, "lr", rate) for i in range(48)])
    figure = figures(other)["learning-rate"]
    assert "Not every variant had the same schedule: DC5; FPN." in figure.caption
    assert [key.label for key in figure.keys] == ["DC5", "FPN"]


def test_uncertainty_by_stage(folder: Path) -> None:
    figure = figures(folder)["uncertainty"]
    assert [(panel.title, panel.new_row) for panel in figure.panels] == [
        ("C2 classification", True), ("C3 classification", False), ("C4 classification", False),
        ("C2 regression", True), ("C3 regression", False), ("C4 regression", False),
    ]  # fmt: skip
    assert set(figure.table["variant"]) == {"FPN-AuxU"}
    assert "FPN-AuxU trusts least its classification at C2: alpha 0.69" in figure.caption
    assert "leaves about 50 %" in figure.caption


def test_a_curve_of_another_name_is_drawn_too(make_study: Make) -> None:
    folder = make_study(variants=("FPN-AuxU",))
    write(folder / "cells/fpn-auxu/seed-0", [(i, "alpha own", 0.0) for i in range(48)])
    figure = figures(folder)["uncertainty"]
    assert [panel.title for panel in figure.panels] == ["alpha own"]
    assert figure.caption.startswith("No alpha of FPN-AuxU ever left 0: this is plain Aux")


def test_a_part_that_is_never_damped_is_named(make_study: Make) -> None:
    folder = make_study(variants=("FPN-AuxU",))
    rows = [(i, "alpha C2 classification", 0.5) for i in range(48)]
    rows += [(i, "alpha C2 regression", 0.0) for i in range(48)]
    write(folder / "cells/fpn-auxu/seed-0", rows)
    caption = figures(folder)["uncertainty"].caption
    assert caption.startswith("The regression alpha of FPN-AuxU never left 0")
    assert "plain Aux, and no test" not in caption


def test_nothing_kept_no_section(make_study: Make) -> None:
    folder = make_study(evidence=False)
    for path in folder.glob("cells/*/*/evaluation.parquet"):
        path.unlink()
    assert training.section(read([folder])) is None
