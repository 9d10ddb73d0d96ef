"""Cells as jobs: submitit's local executor runs them; the sbatch file says what the study says."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder import progress
from fpnprobe.study.runner import exit_codes, launchers, slurm, slurm_jobs
from fpnprobe.study.runner.launchers import Launch
from fpnprobe.study.runner.tracked_cells import Tracked
from tests.mm.tiny import tiny


class Silent:
    def update(self, cells: object) -> None:
        pass


@pytest.mark.slow
def test_the_local_executor_runs_the_cells(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    result = tiny(tmp_path, schedule__iterations=2, probe__mode=None)
    via = submitit.LocalExecutor(folder=slurm_jobs.folder(result))
    found: list[Tracked] = slurm.run(
        result, result.cells, launch=Launch(), via=via, watcher=Silent()
    )
    assert [each.state for each in found] == [State.DONE]
    again = slurm.run(result, result.cells, launch=Launch(), via=via, watcher=Silent())
    assert [each.state for each in again] == [State.DONE]


@pytest.mark.slow
def test_a_preempted_job_saves_its_state_and_is_queued_again(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    result = tiny(tmp_path, schedule__iterations=600, probe__mode=None)
    (cell,) = result.cells
    via = submitit.LocalExecutor(folder=slurm_jobs.folder(result))
    with via.batch():
        job = via.submit(slurm_jobs.CellJob(result, cell, Launch()))
    until = time.monotonic() + 200
    while (now := progress.read(cell.folder)) is None or now.iteration < 20:
        assert time.monotonic() < until, job.stderr()
        time.sleep(0.1)
    parent = job._process.pid  # submitit's controller; its child runs the job
    (task,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    os.kill(int(task), signal.SIGUSR2)  # as Slurm does
    assert job.result() == exit_codes.DONE
    assert cell.state() is State.DONE
    log = (cell.folder / "log.txt").read_text()
    assert log.count("--- ") == 2  # two processes, and the second one did not begin anew
    assert log.count("pass 1 ") == 1


class FakeJob:
    """A job as submitit shows it, without a cluster."""

    def __init__(self, *states: str, code: int = 0) -> None:
        self.job_id, self._states, self._code = "77_3", list(states), code

    @property
    def state(self) -> str:
        return self._states[0]

    def done(self) -> bool:
        if len(self._states) > 1:
            self._states.pop(0)
            return False
        return True

    def exception(self) -> Exception | None:
        return None if self._code == 0 else RuntimeError("no result")

    def results(self) -> list[int]:
        return [self._code, 0]


class FakeExecutor:
    def __init__(self, job: FakeJob) -> None:
        self.job = job

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()

    def submit(self, _job: slurm_jobs.CellJob) -> FakeJob:
        return self.job


class Listening:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def update(self, cells: Sequence[Tracked]) -> None:
        if cells[0].reason not in self.heard[-1:]:
            self.heard.append(cells[0].reason)


@pytest.mark.parametrize(
    ("state", "reason"),
    [("NODE_FAIL", "its node failed"), ("OUT_OF_MEMORY", "resources.memory_gb"),
     ("TIMEOUT", "resources.minutes"), ("CANCELLED by 1000", "cancelled")],
)  # fmt: skip
def test_the_states_of_slurm_are_told(
    state: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "_POLL", 0.0)
    result, watcher = tiny(tmp_path), Listening()
    via = FakeExecutor(FakeJob("PENDING", "PENDING", "RUNNING", "REQUEUED", state, code=1))
    (failed,) = slurm.run(result, result.cells, launch=Launch(), via=via, watcher=watcher)
    assert failed.state is State.FAILED
    assert reason in failed.reason
    for words in ("job 77_3: queued", "job 77_3: runs", "job 77_3: queued again"):
        assert f"Slurm {words}" in watcher.heard


def test_nodes_meet_on_the_first_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitit = pytest.importorskip("submitit")
    node = SimpleNamespace(job_id="77_3", num_nodes=2, node=1, hostnames=["gpu7", "gpu8"])
    monkeypatch.setattr(submitit, "JobEnvironment", lambda: node)
    result = tiny(tmp_path, resources__nodes=2)
    assert slurm_jobs.parameters(result, jobs=1)["nodes"] == 2
    words = Launch(nproc=8).command(
        result.out, result.cells[0], rendezvous=slurm_jobs.find_rendezvous()
    )
    for word in ("--nnodes=2", "--node-rank=1", "--master-addr=gpu7", "--nproc-per-node=8"):
        assert word in words
    (port,) = (int(word.partition("=")[2]) for word in words if word.startswith("--master-port"))
    assert 20_000 <= port < 32_000
    with pytest.raises(FpnProbeError, match=r"resources\.nodes"):
        launchers.check("pytorch", nproc=1, nodes=2, batch=4, accumulate=1)


def test_the_sbatch_file_asks_for_what_the_study_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm_module = pytest.importorskip("submitit.slurm.slurm")
    monkeypatch.setattr(slurm_module.SlurmExecutor, "affinity", staticmethod(lambda: 1))
    changes = {"resources__gpus_per_cell": 4, "resources__slurm": {"partition": "long"}}
    result = tiny(tmp_path, resources__minutes=90, **changes)
    text = slurm_jobs.executor(result, jobs=3)._make_submission_file_text("RUN", "id")
    for line in (
        "--time=90", "--gpus-per-node=4", "--partition=long", "--job-name=fpnprobe-tiny",
        "--requeue", "--signal=USR2@60", "--cpus-per-task=8", "--mem=32GB",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in text, text
    assert "RUN" in text
    with pytest.raises(FpnProbeError, match=r"resources\.slurm"):
        slurm_jobs.executor(tiny(tmp_path, resources__slurm={"partitio": "x"}), jobs=1)


def test_away_from_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="srun"):
        slurm_jobs.executor(tiny(tmp_path), jobs=1)
