"""`fpnprobe evaluate`, `compare`: JSON, tables and exit codes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fpnprobe.cli import main
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.generated import as_documents, generate
from tests.unit.evidence.study_folder import write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("s") / "toy", {"DC5": 0.3, "FPN": 0.8}, seeds=[0])


@pytest.fixture(scope="module", autouse=True)
def verbs() -> None:
    if not main.app.registered_commands:
        main.register()


def invoke(*words: object) -> Any:
    result = CliRunner().invoke(main.app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_evaluate_prints_the_twelve_numbers(folder: Path) -> None:
    found = folder / "cells" / "v1" / "seed-0" / "detections.json.gz"
    answer = json.loads(invoke("evaluate", folder / "val.json", found, "--json").stdout)
    assert set(answer) == {
        "AP", "AP_50", "AP_75", "AP_S", "AP_M", "AP_L", "AR_1", "AR_10", "AR_100", "AR_S", "AR_M",
        "AR_L", "engine", "iou_type",
    }  # fmt: skip
    assert answer["engine"] == "hotcoco"
    oracle = invoke("evaluate", folder / "val.json", found, "--json", "--engine", "pycocotools")
    again = json.loads(oracle.stdout)
    assert again.pop("engine") == "pycocotools"
    assert again == pytest.approx({k: v for k, v in answer.items() if k != "engine"}, abs=1e-12)
    assert invoke("evaluate", folder / "val.json", found).stdout.startswith("AP ")


def test_compare_runs(folder: Path) -> None:
    cells = [folder / "cells" / name / "seed-0" for name in ("v0", "v1")]
    answer = json.loads(invoke("compare", *cells, "--json", "--resamples", 50).stdout)
    assert {"AP", "AP_50", "AP_75", "AP_S", "AP_M", "AP_L", "AP@[32,48)"} <= set(answer)
    for row in answer.values():
        assert set(row) == {"a", "b", "difference", "low", "high"}
    assert answer["AP"]["low"] > 0
    files = [cell / "detections.json.gz" for cell in cells]
    words = ("--annotations", folder / "val.json", "--json", "--resamples", 50)
    assert json.loads(invoke("compare", *files, *words).stdout) == answer
    assert "difference" in invoke("compare", *cells, "--resamples", 10).stdout


def test_compare_files_need_annotations(folder: Path) -> None:
    found = folder / "cells" / "v1" / "seed-0" / "detections.json.gz"
    with pytest.raises(FpnProbeError, match="add --annotations"):
        invoke("compare", found, found)


def test_compare_refuses_a_folder_that_is_no_run(folder: Path) -> None:
    with pytest.raises(FpnProbeError, match="not a finished run"):
        invoke("compare", folder, folder)


def test_compare_names_a_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(FpnProbeError, match=r"none\.json does not exist"):
        invoke("compare", folder / "none.json", folder / "val.json")


def test_compare_refuses_a_negative_seed(folder: Path) -> None:
    cell = folder / "cells" / "v0" / "seed-0"
    with pytest.raises(FpnProbeError, match="seed is -1, expected at least 0"):
        invoke("compare", cell, cell, "--seed", -1)


def test_compare_refuses_other_data(folder: Path, tmp_path: Path) -> None:
    other = write_study(tmp_path / "other", {"DC5": 0.3}, seeds=[0], images=10)
    place = Path("cells") / "v0" / "seed-0"
    with pytest.raises(FpnProbeError, match="different annotations"):
        invoke("compare", folder / place, other / place)


def test_a_bad_file_is_one_line_and_exit_code_2(folder: Path, tmp_path: Path) -> None:
    annotations, _ = as_documents(*generate(images=2))
    cut = tmp_path / "cut.json"
    cut.write_text(json.dumps(annotations)[:300])
    found = folder / "cells" / "v1" / "seed-0" / "detections.json.gz"
    program = "from fpnprobe.cli.main import entry; entry()"
    run = subprocess.run(
        [sys.executable, "-c", program, "evaluate", cut, found, "--json"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "not complete JSON" in run.stderr
    assert json.loads(run.stdout)["exit_code"] == 2


def test_compare_takes_areas_from_boxes(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "val.json").read_text())
    for entry in content["annotations"]:
        del entry["area"]
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(content))
    files = [folder / "cells" / name / "seed-0" / "detections.json.gz" for name in ("v0", "v1")]
    words = ("--annotations", bare, "--resamples", 20, "--json")
    with pytest.raises(FpnProbeError, match="have no 'area'"):
        invoke("compare", *files, *words)
    assert json.loads(invoke("compare", *files, *words, "--area", "box").stdout)["AP"]["b"] > 0
