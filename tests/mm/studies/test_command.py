"""Cells that a command of yours starts: all of them are done, each once, however it starts them."""

import subprocess
import sys
from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner import command, launchers
from fpnprobe.study.runner.command import Template
from fpnprobe.study.runner.launchers import Launch
from fpnprobe.study.runner.tracked_cells import Tracked
from tests.mm.studies.test_slurm import Silent
from tests.mm.tiny import tiny

SMALL = {"schedule__iterations": 2, "probe__mode": None}


def run(result: Output, text: str, *, jobs: int = 3) -> list[Tracked]:
    template = Template(text=text, launch=Launch())
    return command.run(result, result.cells, template=template, jobs=jobs, watcher=Silent())


def test_every_cell_is_done_once(tmp_path: Path) -> None:
    """One command waits for its cell, the other hands it in and ends at once."""
    result = tiny(tmp_path, variants=["FPN", "DC5"], seeds=[0, 1], **SMALL)
    log = tmp_path / "started"
    text = (
        f"echo {{name}} >> {log}; if [ {{seed}} = 0 ]; then {{cell}}; else "
        "nohup {cell} > /dev/null 2>&1 & fi"
    )
    assert [each.state for each in run(result, text)] == [State.DONE] * 4
    assert sorted(log.read_text().split()) == [
        "tiny-dc5-0", "tiny-dc5-1", "tiny-fpn-0", "tiny-fpn-1",
    ]  # fmt: skip
    assert [each.state for each in run(result, "false {cell}")] == [State.DONE] * 4
    for cell in result.cells:
        assert (cell.folder / "log.txt").read_text().count("--- ") == 1  # one process ran it


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    result = tiny(tmp_path, **SMALL)
    (failed,) = run(result, "echo no such queue >&2; exit 7; {cell}")
    assert failed.state is State.FAILED
    assert failed.reason == "its command ended with exit code 7: no such queue"


def test_a_cell_that_fails_says_why_itself(tmp_path: Path) -> None:
    result = tiny(tmp_path, schedule__lr=1e6, schedule__clip=None, schedule__warmup=0)
    (failed,) = run(result, "{cell}")
    assert failed.state is State.FAILED
    assert "loss not finite" in failed.reason


def test_a_cell_handed_in_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tiny(tmp_path, resources__minutes=1, **SMALL)
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    monkeypatch.setattr(command, "_POLL", 0.0)
    (failed,) = run(result, "true # {cell}")
    assert failed.state is State.FAILED
    assert "resources.minutes" in failed.reason


def test_braces_of_others_stay(tmp_path: Path) -> None:
    result = tiny(tmp_path, **SMALL)
    template = Template(text="kubectl run {name} -o '{.spec}' -- {cell}", launch=Launch(nproc=2))
    line = template.fill(result.out, result.cells[0])
    assert line.startswith("kubectl run tiny-fpn-0 -o '{.spec}' -- ")
    assert "--nproc-per-node=2" in line
    assert "--watch-stdin" not in line


@pytest.mark.parametrize(
    ("launcher", "template"), [("command", None), ("none", "{cell}"), ("command", "sbatch")]
)
def test_a_template_that_does_not_fit_is_refused(launcher: str, template: str | None) -> None:
    with pytest.raises(FpnProbeError, match="cell"):
        launchers.check(launcher, nproc=1, batch=2, accumulate=1, template=template)


def test_from_the_command_line(tmp_path: Path) -> None:
    from tests.mm.tiny import study_file

    words = [
        "run-study", str(study_file(tmp_path / "study", **SMALL)), "--out", str(tmp_path / "out"),
        "--launcher", "command", "--template", "nice {cell}",
    ]  # fmt: skip
    found = subprocess.run([sys.executable, "-m", "fpnprobe", *words], capture_output=True)
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "out/report.html").is_file()
