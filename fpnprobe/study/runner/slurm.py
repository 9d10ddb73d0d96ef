"""Cells as jobs of a Slurm array, through submitit; a preempted job saves its state first."""

import contextlib
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.launchers import Launch, Rendezvous
from fpnprobe.study.runner.local import Tracked, Watcher, judge, look_at

_POLL = 2.0  # seconds
_PATIENCE = 60.0  # seconds that a preempted cell has to save its state
_FIRST_PORT, _PORTS = 20_000, 12_000  # below those that systems give to clients
_FAULTS = {
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not boot",
    "OUT_OF_MEMORY": "out of memory (resources.memory_gb)",
    "TIMEOUT": "out of time (resources.minutes)",
    "DEADLINE": "its deadline has passed",
    "CANCELLED": "cancelled",
    "PREEMPTED": "preempted and not queued again",
}
_WAITING = {
    "PENDING": "queued",
    "REQUEUED": "queued again",
    "REQUEUE_HOLD": "queued again and held",
    "RESIZING": "queued",
    "SUSPENDED": "suspended",
    "CONFIGURING": "its nodes start",
    "COMPLETING": "ending",
    "RUNNING": "runs",
}


@dataclass(slots=True)
class CellJob:
    """What a job runs; picklable, and told by submitit when the job is preempted or times out.

    Attributes:
        result: the study in its folder, which all nodes share.
        cell: the cell.
        launch: how its process is started, on each node.
    """

    result: Output
    cell: Cell
    launch: Launch
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def __call__(self) -> int:
        """Run the cell, or this node's part of it, to its end; return the process's exit code."""
        meeting = find_rendezvous() if self.result.study.resources.nodes > 1 else None
        self._process = self.launch.start(self.result, self.cell, rendezvous=meeting)
        return self._process.wait()

    def checkpoint(self) -> Any:
        """Let the cell save its state and end, and ask for the same job again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_PATIENCE)
        return DelayedSubmission(CellJob(self.result, self.cell, self.launch))


def find_rendezvous() -> Rendezvous:
    """Say where the nodes of this job meet: on its first host, at a port made of its number."""
    from submitit import JobEnvironment

    job = JobEnvironment()
    number = int(re.sub(r"\D", "", job.job_id) or 0)
    return Rendezvous(
        nodes=job.num_nodes,
        rank=job.node,
        address=job.hostnames[0],
        port=_FIRST_PORT + number % _PORTS,
    )


def parameters(result: Output, *, jobs: int | None) -> dict[str, Any]:
    """Submitit's Slurm parameters from the `resources` of a study.

    `resources.slurm` gives any further ones by submitit's names, such as `partition`.
    """
    resources = result.study.resources
    options = {
        "job_name": f"fpnprobe-{result.study.name}",
        "time": resources.minutes,
        "nodes": resources.nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": resources.cpus_per_cell,
        "gpus_per_node": resources.gpus_per_cell,
        "mem": f"{resources.memory_gb}GB",
        "array_parallelism": jobs or len(result.cells),
        "signal_delay_s": int(_PATIENCE),
        "additional_parameters": {"requeue": True},
    }
    return options | dict(result.study.resources.slurm)


def executor(result: Output, *, jobs: int | None) -> Any:
    """Submitit's executor for this cluster.

    Raises:
        EnvironmentProblem: without submitit, or away from a Slurm cluster.
        FpnProbeError: for a parameter in `resources.slurm` that submitit does not know.
    """
    try:
        from submitit.slurm.slurm import SlurmExecutor
    except ImportError:
        raise EnvironmentProblem(
            "--launcher slurm needs submitit: pip install 'fpnprobe[slurm]'"
        ) from None
    try:
        slurm = SlurmExecutor(folder=folder(result))
    except RuntimeError:
        raise EnvironmentProblem(
            "--launcher slurm: there is no `srun` on this machine; run it on a login node of the "
            "cluster, or leave the option out"
        ) from None
    try:
        slurm.update_parameters(**parameters(result, jobs=jobs))
    except (ValueError, TypeError) as error:
        line = str(error).splitlines()[0]
        raise FpnProbeError(f"resources.slurm: {line}; use submitit's Slurm parameters") from None
    return slurm


def folder(result: Output) -> Path:
    """Where submitit keeps its job files and the jobs' own logs."""
    return result.out.resolve() / "slurm" / "%j"


def run(
    result: Output,
    selected: Sequence[Cell],
    *,
    launch: Launch,
    via: Any,
    watcher: Watcher,
) -> list[Tracked]:
    """Submit what is missing as one array, and wait until no job is left.

    Ctrl-C ends the waiting and leaves the jobs running; the same command waits for them again,
    since a cell that another job holds or has done is not run twice.
    """
    tracked = [Tracked(cell, result.iterations) for cell in selected]
    for cell_run in tracked:
        look_at(cell_run)
    missing = [cell_run for cell_run in tracked if cell_run.state is State.PENDING]
    submitted: list[Any] = []
    if missing:
        with via.batch():
            submitted += [
                via.submit(CellJob(result, cell_run.cell, launch)) for cell_run in missing
            ]
    jobs = list(zip(missing, submitted, strict=True))
    for cell_run, _ in jobs:
        cell_run.elsewhere = True
    while jobs:
        left = []
        for cell_run, job in jobs:
            if job.done():
                cell_run.elsewhere = False
                judge(cell_run, _exit_code(job))
                _blame_slurm(cell_run, job)
            else:
                cell_run.reason = _describe(job)
                left.append((cell_run, job))
        watcher.update(tracked)
        jobs = left
        if jobs:
            time.sleep(_POLL)
    for cell_run in tracked:
        if cell_run.state is State.PENDING:  # another runner's job has it
            cell_run.state = cell_run.cell.state()
    watcher.update(tracked)
    return tracked


def _exit_code(job: Any) -> int:
    """Return the exit code of the cell's process, on the first node where there are several."""
    error = job.exception()
    return int(job.results()[0]) if error is None else 1


def _state(job: Any) -> str:
    """Return Slurm's word for the state of a job, as NODE_FAIL of `NODE_FAIL by 0`."""
    return (str(job.state).split() or [""])[0].rstrip("+").upper()


def _describe(job: Any) -> str:
    """Say where a job is that has not ended."""
    return f"Slurm job {job.job_id}: {_WAITING.get(_state(job), _state(job).lower())}"


def _blame_slurm(cell_run: Tracked, job: Any) -> None:
    """Where Slurm ended a job, say so: the cell itself could not."""
    fault = _FAULTS.get(_state(job))
    if fault is not None and cell_run.state is not State.DONE:
        cell_run.state = State.FAILED
        cell_run.reason = (
            f"Slurm job {job.job_id}: {fault}; the same command goes on from the last checkpoint"
        )
