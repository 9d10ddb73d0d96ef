"""What a user types, on a GPU: a study whose cells share it, attribution, offline probes, bench."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from fpnprobe.cli import main
from tests.mm.gpu.device import DEVICE, NEEDS_DEVICE
from tests.mm.gpu.test_training import TF32
from tests.mm.tiny import study_file

pytestmark = NEEDS_DEVICE


def call(*words: str) -> str:
    main.register()
    result = CliRunner().invoke(main.app, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def rows_of(output: str, opening: str) -> Any:
    return json.loads(output[output.index(opening) :].strip().splitlines()[-1])


def test_cells_share_a_gpu_and_are_reported_and_explained(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = study_file(
        tmp_path / "study", variants=["DC5", "FPN"], resources={"cells_per_gpu": 2, "jobs": 2},
        probe={"mode": "full", "interval": 3},
    )  # fmt: skip
    call("run-study", str(folder), "--out", str(out), "--device", DEVICE)
    assert (out / "report.html").exists()
    for name in ("dc5", "fpn"):
        cell = out / "cells" / name / "seed-0"
        manifest = json.loads((cell / "manifest.json").read_text())
        assert DEVICE == "cpu" or "NVIDIA" in json.dumps(manifest["environment"])
        assert (pd.read_parquet(cell / "ledger.parquet").residual_gradient.dropna() < TF32).all()
    call(
        "attribute", str(out), "--device", DEVICE, "--images", "2", "--steps", "4",
        "--variants", "FPN",
    )  # fmt: skip


def test_bench_probe() -> None:
    words = ("--size", "96", "--batch", "1", "--repeats", "1", "--device", DEVICE, "--json")
    rows = rows_of(call("bench", "probe", *words), "[{")
    assert {row["mode"] for row in rows} >= {"norms", "routes", "full"}
    assert all(math.isfinite(row["overhead"]) and row["step_s"] > 0 for row in rows)
    assert all(row["peak_memory_ratio"] > 0.99 for row in rows)


def test_bench_intervention() -> None:
    words = ("--size", "96", "--batch", "1", "--repeats", "1", "--device", DEVICE, "--json")
    assert all(row["ratio"] > 0 for row in rows_of(call("bench", "intervention", *words), "[{"))


def test_bench_neck() -> None:
    words = ("--variants", "FPN-CFG1", "--size", "64x96", "--repeats", "1", "--device", DEVICE)
    assert rows_of(call("bench", "neck", *words, "--json"), '{"')["necks"]


def test_bench_training(tmp_path: Path) -> None:
    folder = study_file(tmp_path / "study")
    words = ("--iterations", "4", "--warmup", "1", "--rounds", "1", "--device", DEVICE, "--json")
    result = rows_of(call("bench", "training", str(folder), *words), '{"')
    assert result["speedup"] > 0 and result["shapes"]["new_s"] > 0


@pytest.mark.parametrize("config", ["retinanet_r50_fpn_1x_coco"])
def test_probe_of_a_zoo_config(tmp_path: Path, config: str) -> None:
    from fpnprobe.data import scenes

    root = scenes.make(tmp_path / "data", train=2, val=2, size=96)
    words = ("--data", str(root), "--images", "2", "--device", DEVICE)
    call("probe", config, *words, "--out", str(tmp_path / "out"))
