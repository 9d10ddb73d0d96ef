"""A cell of other settings than the study's is named, and shown beside nothing."""

import json
from collections.abc import Callable
from pathlib import Path

from fpnprobe.report.stored import read


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
