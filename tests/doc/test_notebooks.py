"""The notebooks run from top to bottom; named replacements shrink what they run on."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fpnprobe import scales
from fpnprobe.ledger import GradientRecord, LedgerWriter
from fpnprobe.store.feature_maps import Features

nbformat = pytest.importorskip("nbformat", reason="pip install fpnprobe[notebook]")
nbclient = pytest.importorskip("nbclient", reason="pip install fpnprobe[notebook]")

STUDIES = Path(__file__).parents[2] / "studies"
NOTEBOOKS = sorted(STUDIES.glob("*/*.ipynb"))

# jupyter's own: a default that changed, sockets that a stopped kernel leaves to the collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def execute(path: Path, replacements: Mapping[str, str]) -> Any:
    """Run a notebook in its folder; every text to replace must be in it exactly once."""
    book = nbformat.read(path, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    for old, new in replacements.items():
        found = [cell for cell in code if old in cell.source]
        assert len(found) == 1, f"{path.name}: {old!r} is in {len(found)} cells"
        assert found[0].source.count(old) == 1, f"{path.name}: {old!r}"
        found[0].source = found[0].source.replace(old, new)
    client = nbclient.NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    for cell in code:
        for output in cell.outputs:
            text = str(output.get("text", "")) if output.output_type == "stream" else ""
            assert "Warning" not in text, f"{path.name}: {text}"
    return book


def pictures(book: Any) -> int:
    """How many outputs are pictures."""
    return sum(
        "image/png" in output.get("data", {})
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def synthetic_run(root: Path) -> Path:
    """A run as a study leaves it, its numbers made up; no torch."""
    rng = np.random.default_rng(0)
    run = root / "run"
    buckets = (("small", 0, 1024), ("medium", 1024, 9216), ("large", 9216, None))
    config = {"buckets": buckets, "schedule": {"amp": None}}
    for variant in ("DC5", "FPN"):
        folder = run / "cells" / variant.lower() / "seed-0"
        folder.mkdir(parents=True)
        manifest = {
            "study": "made up", "variant": variant, "seed": 0, "state": "done", "config": config,
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with LedgerWriter(folder, study="made up", variant=variant, seed=0) as writer:
            for iteration in range(0, 40, 10):
                writer.append(list(records(iteration, variant, rng)))
        rows = [
            {"study": "made up", "variant": variant, "seed": 0, "iteration": 40, "metric": metric,
             "iou_type": "bbox", "value": float(rng.random()), "engine": "none"}
            for metric in ("AP", "AP_50", "AP_75", "AP_S", "AP_M", "AP_L")
        ]  # fmt: skip
        pd.DataFrame(rows).to_parquet(folder / "evaluation.parquet")
        Features(
            image_id=1,
            maps={tap: rng.random((8, 8)) for tap in ("C2", "C3", "C4", "C5")},
            boxes=np.array([[0, 0, 20, 20], [10, 10, 60, 60]], dtype=float),
            areas=np.array([400.0, 2500.0]),
            labels=np.array([0, 1]),
            size=(64, 64),
            image=rng.integers(0, 255, (32, 32, 3), dtype=np.uint8),
        ).write(folder / "features")
    study = {"name": "made up", "variants": ["DC5", "FPN"], "seeds": [0]}
    (run / "study.json").write_text(json.dumps(study))
    return run


def records(iteration: int, variant: str, rng: np.random.Generator) -> list[GradientRecord]:
    """Rows of all stages, routes and buckets; DC5 has a direct route at C5 only."""
    rows = []
    for level in (2, 3, 4, 5):
        for route in ("total", "direct", "deeper"):
            empty = variant == "DC5" and route == ("deeper" if level == 5 else "direct")
            norms = rng.random(4) * (0 if empty else 1)
            square = float((norms[:3] ** 2).sum())
            rows += [
                GradientRecord(
                    iteration=iteration, epoch=0, tap=f"C{level}", level=level, kind="activation",
                    route=route, bucket=bucket, term="all", l2=float(norm), n_objects=3, n_rows=9,
                    share=float("nan") if empty or bucket == scales.BACKGROUND
                    else float(norm) ** 2 / square,
                    residual_loss=1e-8, residual_gradient=1e-7, residual_routes=1e-8,
                )
                for bucket, norm in zip(
                    ("small", "medium", "large", scales.BACKGROUND), norms, strict=True
                )
            ]  # fmt: skip
    return rows


STORED = ("five_tasks", "notebook")
"""Notebooks of the quickstart that rest on stored reports alone: they carry their outputs."""


def test_other_notebooks_are_stored_without_outputs_and_small() -> None:
    assert len(NOTEBOOKS) >= 4
    for path in NOTEBOOKS:
        assert path.stat().st_size < (900_000 if path.stem in STORED else 40_000), path
        if path.stem in STORED:
            continue
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


def shown(book: Any) -> list[str]:
    """What each code cell shows as text; pictures are left to the eye."""
    texts = []
    for cell in book.cells:
        if cell.cell_type == "code":
            texts += [
                str(output.get("text", "")) or str(output.get("data", {}).get("text/plain", ""))
                for output in cell.outputs
            ]
    return texts


@pytest.mark.parametrize("name", STORED)
def test_stored_outputs_are_current(name: str) -> None:
    """`FPNPROBE_REGENERATE=1` stores them anew, as after a report was replaced."""
    path = STUDIES / "quickstart" / f"{name}.ipynb"
    book = execute(path, {})
    if os.environ.get("FPNPROBE_REGENERATE"):
        for cell in book.cells:
            cell.metadata.pop("execution", None)
        nbformat.write(book, path)
    assert shown(book) == shown(nbformat.read(path, as_version=4))


def test_each_of_the_five_tasks_takes_three_lines_at_most() -> None:
    book = nbformat.read(STUDIES / "quickstart" / "five_tasks.ipynb", as_version=4)
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    assert len(code) >= 5
    assert all(len([line for line in text.splitlines() if line]) <= 3 for text in code)


def test_the_ledger_notebook_runs_on_any_stored_run(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path)
    book = execute(
        STUDIES / "quickstart" / "notebook.ipynb", {"../../reports/quickstart": str(run)}
    )
    assert pictures(book) >= 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    settings = ("data.scenes.train=40", "data.scenes.val=8", "schedule.iterations=40",
                "schedule.warmup=5", "probe.interval=10")  # fmt: skip
    words = [word for setting in settings for word in ("--set", setting)]
    study = STUDIES / "quickstart"
    code = "from fpnprobe.cli.main import entry; entry()"
    command = [sys.executable, "-c", code, "run-study", str(study), "--out", str(out)]
    environment = os.environ | {"FPNPROBE_CACHE": str(out.parent / "cache")}
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["notebook", "attribution"])
def test_the_quickstart_notebooks_run_on_a_trained_run(name: str, trained: Path) -> None:
    folder = {"notebook": "quickstart", "attribution": "mine"}[name]
    replacements = {f"../../reports/{folder}": str(trained)}
    if name == "attribution":
        replacements |= {"images=8": "images=2", "[:3]": "[:1]"}
    assert pictures(execute(STUDIES / "quickstart" / f"{name}.ipynb", replacements)) >= 3


@pytest.mark.slow
def test_a_neck_of_your_own_is_probed() -> None:
    replacements = {"iterations, interval = 60, 6": "iterations, interval = 4, 2",
                    "train=120": "train=12"}  # fmt: skip
    book = execute(STUDIES / "own_neck" / "notebook.ipynb", replacements)
    assert pictures(book) == 1
    printed = [o.get("text", "") for c in book.cells if c.cell_type == "code" for o in c.outputs]
    assert "NO" not in "".join(printed)
