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
from fpnprobe.evaluation import compare_runs
from fpnprobe.evaluation.generated import as_documents, generate
from fpnprobe.evaluation.run_comparison import _stored_comparison
from fpnprobe.evidence import build
from fpnprobe.store.run_file import RunFile, describe_run
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


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its evidence, whose annotations did not come with it."""
    study = write_study(tmp_path_factory.mktemp("m") / "toy", {"DC5": 0.3, "FPN": 0.8}, seeds=[0])
    build.build(study)
    (study / "val.json").unlink()
    return study


def test_cells_without_their_data_are_compared_by_the_stored_table(moved: Path) -> None:
    a, b = (moved / "cells" / name / "seed-0" for name in ("v0", "v1"))
    there, back = compare_runs(a, b), compare_runs(b, a, iou_type="bbox")
    assert there.warnings == back.warnings
    assert "stored comparison" in there.warnings[0]
    assert there.table["difference"].to_list() == [-gain for gain in back.table["difference"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iou_type": "nonsense"}, "iou_type 'nonsense' is unknown"),
        ({"resamples": 1}, "resamples is 1, expected at least 2"),
        ({"seed": -1}, "seed is -1, expected at least 0"),
        ({"iou_type": "segm"}, "val.json"),
        ({"resamples": 50}, "val.json"),
        ({"seed": 1}, "val.json"),
        ({"area": "box"}, "val.json"),
    ],
)
def test_the_stored_table_answers_for_no_other_options(
    options: dict[str, Any], message: str, moved: Path
) -> None:
    a, b = (moved / "cells" / name / "seed-0" for name in ("v0", "v1"))
    with pytest.raises(FpnProbeError, match=message):
        compare_runs(a, b, **options)


def test_damaged_detections_are_told_though_a_table_is_stored(tmp_path: Path) -> None:
    study = write_study(tmp_path / "toy", {"DC5": 0.3, "FPN": 0.8}, seeds=[0])
    build.build(study)
    a, b = (study / "cells" / name / "seed-0" for name in ("v0", "v1"))
    (b / "detections.json.gz").write_bytes(b"no gzip")
    with pytest.raises(FpnProbeError, match=r"detections\.json\.gz"):
        compare_runs(a, b)


def test_the_missing_file_of_runs_is_named_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders right below the root have no study three levels up, and need none."""
    runs = [tmp_path / name / "seed-0" for name in ("a", "b")]
    for run in runs:
        RunFile(run, describe_run(made_by="hook", variant="x", annotations=str(tmp_path / "val")))
        (run / "detections.json.gz").write_bytes(b"")
    (tmp_path.parent / "study.json").write_text("not JSON")
    with pytest.raises(FpnProbeError, match=f"{tmp_path / 'val'}"):
        compare_runs(*runs)
    (tmp_path.parent / "study.json").unlink()
    monkeypatch.setattr(Path, "resolve", lambda path: Path("/") / path.parent.name)
    assert _stored_comparison(*runs) is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--annotations", "val.json"),
        ("--iou-type", "segm"),
        ("--area", "box"),
        ("--resamples", "1000"),
        ("--seed", "0"),
    ],
)
def test_variants_of_a_study_take_no_option_of_a_new_comparison(
    option: str, value: str, moved: Path
) -> None:
    """Not even the default: what is stored may have been made with another."""
    words = ("compare", moved, "--a", "DC5", "--b", "FPN")
    with pytest.raises(FpnProbeError, match=f"^{option} is for two cells or files: .*leave"):
        invoke(*words, option, value)
    assert invoke(*words).exit_code == 0
