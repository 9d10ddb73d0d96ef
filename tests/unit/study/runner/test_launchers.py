"""What a cell's process is started with."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.launchers import Launch
from fpnprobe.study.runner.machine import check_device, default_jobs
from fpnprobe.study.runner.tracked_cells import Tracked, record_exit


def test_commands(result: Output) -> None:
    cell = result.cells[0]
    plain = Launch().command(Path("out"), cell)
    assert plain[:3] == [sys.executable, "-m", "fpnprobe.study.runner.worker"]
    assert plain[plain.index("--variant") + 1] == "DC5"
    assert plain[plain.index("--key") + 1] == cell.key
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
    ("gpus", "each", "nproc", "jobs"), [(1, 1, 1, 1), (1, 4, 1, 4), (8, 1, 2, 4), (1, 1, 8, 1)]
)
def test_jobs_on_gpus(
    gpus: int, each: int, nproc: int, jobs: int, result: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    resources = result.study.resources.model_copy(update={"cells_per_gpu": each})
    study = result.study.model_copy(update={"resources": resources})
    assert default_jobs(replace(result, study=study), "cuda", None, nproc=nproc) == jobs


def test_a_gpu_is_not_chosen_by_the_device() -> None:
    with pytest.raises(FpnProbeError, match="CUDA_VISIBLE_DEVICES"):
        check_device("cuda:1")


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [(75, "pending", ""), (78, "failed", "its own --out"), (130, "interrupted", "outside"),
     (-9, "failed", "SIGKILL"), (1, "failed", "exit code 1")],
)  # fmt: skip
def test_what_an_exit_code_means(code: int, state: str, reason: str, result: Output) -> None:
    each = Tracked(result.cells[0], 10)
    record_exit(each, code)
    assert each.state == state
    assert reason in each.reason
