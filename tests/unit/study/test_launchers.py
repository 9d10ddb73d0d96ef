"""What a cell's process is started with."""

import sys
from pathlib import Path

import pytest

from fpnprobe.study.launchers import Launch
from fpnprobe.study.machine import default_jobs
from fpnprobe.study.output import Output
from fpnprobe.study.run import Tracked, judge


def test_commands(result: Output) -> None:
    cell = result.cells[0]
    plain = Launch().command(Path("out"), cell)
    assert plain[:3] == [sys.executable, "-m", "fpnprobe.study.worker"]
    assert plain[plain.index("--variant") + 1] == "DC5"
    several = Launch(nproc=3).command(Path("out"), cell)
    assert "--nproc-per-node=3" in several
    assert several[-len(plain) + 1 :] == plain[1:]


def test_threads_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    found = Launch(device="cuda", nproc=2).environment(3, slot=1)
    assert found["OMP_NUM_THREADS"] == "3"
    assert found["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert Launch(device="cuda").environment(1, slot=5)["CUDA_VISIBLE_DEVICES"] == "5"
    assert Launch().environment(1, slot=1)["CUDA_VISIBLE_DEVICES"] == "4,5,6,7"


def test_jobs(result: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    assert default_jobs(result, "cpu", None) == 2
    assert default_jobs(result, "cpu", 5) == 5
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert default_jobs(result, "cpu", None) == 1


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [(75, "pending", ""), (130, "interrupted", "outside"), (-9, "failed", "SIGKILL"),
     (1, "failed", "exit code 1")],
)  # fmt: skip
def test_what_an_exit_code_means(code: int, state: str, reason: str, result: Output) -> None:
    each = Tracked(result.cells[0], 10)
    judge(each, code)
    assert each.state == state
    assert reason in each.reason
