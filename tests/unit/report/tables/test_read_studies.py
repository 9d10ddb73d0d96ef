"""Stale cells are named and shown beside nothing; studies of masks show the AP of masks."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fpnprobe.report.compose import compose
from fpnprobe.report.sections.caveats import warnings
from fpnprobe.report.tables.average_precision import final
from fpnprobe.report.tables.read_studies import read


def test_a_stale_cell_is_a_hole(make_study: Callable[..., Path]) -> None:
    folder = make_study(variants=("DC5", "FPN"), seeds=(0, 1))
    manifests = sorted(folder.glob("cells/*/*/manifest.json"))
    cells = []
    for number, path in enumerate(manifests):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"key": f"key{number}"}))
        cells.append(
            {"variant": content["variant"], "seed": content["seed"], "key": f"key{number}"}
        )
    cells[0]["key"] = "another"
    study = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(study | {"cells": cells}))
    stored = read([folder])
    assert [cell.state for cell in stored.cells] == ["stale", "done", "done", "done"]
    assert len(stored.done) == 3
    shown = set(stored.evaluation[["variant", "seed"]].itertuples(index=False, name=None))
    assert shown == {("DC5", 1), ("FPN", 0), ("FPN", 1)}
    assert any("of other settings than the study's" in hole for hole in stored.holes)


def test_a_study_of_masks_shows_the_ap_of_masks(make_study: Callable[..., Path]) -> None:
    folder = make_study(variants=("DC5", "FPN"))
    for path in folder.glob("cells/*/*/evaluation.parquet"):
        pd.read_parquet(path).assign(iou_type="segm").to_parquet(path, index=False)
    stored = read([folder])
    assert stored.iou_type == "segm"
    assert set(final(stored)["variant"]) == {"DC5", "FPN"}
    assert final(stored, iou_type="bbox").empty
    assert any("AP is that of masks" in line for line in warnings(stored))
    report = compose(stored, [])
    assert all(figure.panels for figure in report.figures())


@pytest.mark.parametrize(
    ("buckets", "variants", "told"),
    [
        (None, 2, None),
        ([["small", 0, 50], ["medium", 50, 100], ["large", 100, None]], 2,
         r"^two has other bounds of size than one, .*large: area at least 10\^2 px"),
        ([["small", 0, 100], ["rest", 100, None]], 1,
         "^two is left out: it has the sizes small, rest, one has small, medium, large;"),
    ],
)  # fmt: skip
def test_studies_of_other_sizes_are_told_or_left_out(
    buckets: list[list[Any]] | None,
    variants: int,
    told: str | None,
    make_study: Callable[..., Path],
) -> None:
    folders = [make_study(name, variants=("FPN",)) for name in ("one", "two")]
    if buckets is not None:
        study = json.loads((folders[1] / "study.json").read_text())
        (folders[1] / "study.json").write_text(json.dumps(study | {"buckets": buckets}))
    stored = read(folders)
    assert len({cell.variant for cell in stored.cells}) == len(stored.studies) == variants
    about_size = [hole for hole in stored.holes if "size" in hole]
    assert len(about_size) == (told is not None)
    assert told is None or re.search(told, about_size[0])
