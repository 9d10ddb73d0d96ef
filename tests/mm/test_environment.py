"""What doctor and the manifests say about the machine."""

import importlib
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

import fpnprobe.doctor
from fpnprobe.cli import doctor
from fpnprobe.doctor import Examination, Problem, examine
from fpnprobe.mm.environment import describe

PROMISED = ("python", "torch", "torchvision", "mmdet", "mmcv", "mmengine", "device", "ops_backend")


def test_promised_keys() -> None:
    found = examine(describe).to_dict()
    assert all(found[key] for key in PROMISED)
    assert found["ok"] is True


def test_the_stack_is_described() -> None:
    facts = describe()
    assert facts["ops_backend"] in ("torchvision", "compiled")
    assert facts["torch"].split(".")[0].isdigit()


def test_a_broken_stack_is_a_finding() -> None:
    def broken() -> dict[str, object]:
        raise ImportError("undefined symbol\nmore text")

    found = examine(broken)
    assert not found.ok
    assert found.facts["python"]
    assert found.problems[0].what == (
        "the training stack does not load: ImportError: undefined symbol more text"
    )


def test_opencv_without_libgl_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without_libgl(name: str, package: str | None = None) -> ModuleType:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without_libgl)
    found = examine(describe)
    assert not found.ok
    assert "libGL.so.1" in found.problems[0].what
    assert "--no-deps opencv-python-headless==" in found.problems[0].fix


def test_an_unwritable_cache_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("FPNPROBE_CACHE", str(file / "cache"))
    found = examine(dict)
    assert [problem.fatal for problem in found.problems if "cache" in problem.what] == [True]


def test_an_extension_that_does_not_load_is_a_note() -> None:
    facts = {"ops_reason": "compiled for another torch (undefined symbol)", "device": "cpu"}
    found = examine(lambda: facts)
    notes = [problem for problem in found.problems if "mmcv's extension" in problem.what]
    assert [note.fatal for note in notes] == [False]
    assert found.ok


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        if name == "fpnprobe.config.loading":
            raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")
        return importlib.import_module(name)

    monkeypatch.setattr(fpnprobe.doctor, "importlib", SimpleNamespace(import_module=load))
    found = examine(dict)
    assert not found.ok
    (problem,) = [each for each in found.problems if "pydantic" in each.what]
    assert problem.fix == "pip install pydantic"


def run_doctor(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.callback()(lambda: None)
    doctor.add(app)
    result = CliRunner().invoke(app, ["doctor", *arguments])
    return result.exit_code, result.stdout


def test_doctor() -> None:
    code, out = run_doctor("--json")
    assert code == 0
    assert json.loads(out)["ok"] is True
    assert run_doctor()[1].splitlines()[-1] == "ok: studies run here"


def test_doctor_of_a_broken_machine_exits_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Examination({"python": "3.11"}, (Problem("no torch", "pip install torch"),))
    monkeypatch.setattr(fpnprobe.doctor, "examine", lambda _: broken)
    code, out = run_doctor("--json")
    assert code == 3
    assert json.loads(out)["problems"] == [
        {"what": "no torch", "fix": "pip install torch", "fatal": True, "facts": []}
    ]
    code, out = run_doctor()
    assert code == 3
    assert "problem: no torch\n  fix: pip install torch\nproblem: no study runs here\n" in out
