"""`fpnprobe.open` on finished, half-finished and broken runs; no torch, no detector."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import GradientRecord, LedgerWriter


def cell(run: Path, variant: str, *, state: str = "done", iterations: int = 2) -> Path:
    folder = run / "cells" / variant.lower() / "seed-0"
    folder.mkdir(parents=True)
    manifest = {"study": "s", "variant": variant, "seed": 0, "state": state}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with LedgerWriter(folder, study="s", variant=variant, seed=0) as writer:
        for iteration in range(iterations):
            writer.append([record(iteration)])
    if state == "done":
        rows = [{"study": "s", "variant": variant, "seed": 0, "iteration": 9, "iou_type": "bbox",
                 "metric": m, "value": 0.25, "engine": "e"} for m in ("AP", "AP_S")]  # fmt: skip
        pd.DataFrame(rows).to_parquet(folder / "evaluation.parquet")
    return folder


def record(iteration: int) -> GradientRecord:
    return GradientRecord(
        iteration=iteration, epoch=0, tap="C2", level=2, kind="activation", route="total",
        bucket="small", term="all", l2=1.0, share=1.0, n_objects=1, n_rows=1,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    cell(tmp_path, "FPN")
    cell(tmp_path, "DC5", state="running", iterations=1)
    (tmp_path / "study.json").write_text("{}")
    return tmp_path


def test_a_half_finished_run_shows_what_there_is(run: Path) -> None:
    opened = fpnprobe.open(run)
    assert len(opened.ledger) == 3
    assert opened.evaluation["variant"].unique().tolist() == ["FPN"]
    assert opened.attribution.empty
    assert opened.images == ()
    assert repr(opened) == f"Run({run}, variants: DC5, FPN, cells: 1 interrupted, 1 done)"
    page = opened._repr_html_()
    assert "interrupted" in page
    assert "25.0" in page


def test_a_run_that_has_just_begun_is_empty_and_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    opened = fpnprobe.open(tmp_path)
    assert len(opened.ledger) == 0
    assert opened.evaluation.empty
    assert "no cells" in repr(opened)
    assert "<table" in opened._repr_html_()
    with pytest.raises(FpnProbeError, match="has 0 cells, expected one"):
        opened.attribute()


def test_a_cell_can_be_opened_alone(run: Path) -> None:
    opened = fpnprobe.open(run / "cells" / "fpn" / "seed-0")
    assert len(opened.ledger) == 2
    assert [c.variant for c in opened.cells] == ["FPN"]


def test_select(run: Path) -> None:
    opened = fpnprobe.open(run)
    assert len(opened.select(variant="DC5").ledger) == 1
    assert len(opened.select(seed=0).cells) == 2
    with pytest.raises(FpnProbeError, match=r"expected one of DC5 seed 0, FPN seed 0"):
        opened.select(variant="FPN-CFG")


def test_nothing_is_read_before_it_is_asked_for(run: Path) -> None:
    (run / "cells" / "fpn" / "seed-0" / "evaluation.parquet").write_bytes(b"cut")
    opened = fpnprobe.open(run)
    assert len(opened.ledger) == 3
    with pytest.raises(FpnProbeError, match=r"cannot read .*evaluation\.parquet"):
        _ = opened.evaluation


def test_an_unreadable_manifest_is_a_state(run: Path) -> None:
    (run / "cells" / "fpn" / "seed-0" / "manifest.json").write_text("{")
    assert "1 damaged" in repr(fpnprobe.open(run))


def test_no_run_no_features_no_figure(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match=r"there is no folder .*nowhere: "):
        fpnprobe.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FpnProbeError, match="is not a run"):
        fpnprobe.open(tmp_path / "empty")
    with pytest.raises(FpnProbeError, match=r"no features of image 3 .* expected one of none yet"):
        fpnprobe.open(run).features(3)
    with pytest.raises(FpnProbeError, match="no figure 'nothing'"):
        fpnprobe.open(run).figure("nothing")


def test_a_figure_shows_itself(run: Path) -> None:
    opened = fpnprobe.open(run)
    drawing = opened.figure("fig3")
    assert drawing.svg.lstrip().startswith("<svg")
    assert "<figcaption" in drawing._repr_html_()
    assert repr(drawing).startswith("Drawing(figure-3")


def test_opening_needs_no_torch(run: Path) -> None:
    code = (
        "import sys, fpnprobe; r = fpnprobe.open(sys.argv[1]); r.ledger; r._repr_html_(); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'captum', 'mmdet', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(run)], check=False).returncode == 0
