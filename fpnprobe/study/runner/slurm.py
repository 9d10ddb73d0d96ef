"""Cells as jobs of a Slurm array, through submitit; a preempted job saves its state first."""

import contextlib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.store.cell import State
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.launchers import Launch
from fpnprobe.study.runner.local import Tracked, Watcher, judge, look_at

_POLL = 2.0  # seconds
_PATIENCE = 60.0  # seconds that a preempted cell has to save its state


@dataclass(slots=True)
class CellJob:
    """What a job runs; picklable, and told by submitit when the job is preempted or times out.

    Attributes:
        result: the study in its folder, which all nodes share.
        cell: the cell.
        launch: how its process is started.
    """

    result: Output
    cell: Cell
    launch: Launch
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def __call__(self) -> int:
        """Run the cell to its end; return the exit code of its process."""
        self._process = self.launch.start(self.result, self.cell)
        return self._process.wait()

    def checkpoint(self) -> Any:
        """Let the cell save its state and end, and ask for the same job again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_PATIENCE)
        return DelayedSubmission(CellJob(self.result, self.cell, self.launch))


def parameters(result: Output, *, jobs: int | None) -> dict[str, Any]:
    """Submitit's Slurm parameters from the `resources` of a study.

    `resources.slurm` gives any further ones by submitit's names, such as `partition`.
    """
    resources = result.study.resources
    found = {
        "job_name": f"fpnprobe-{result.study.name}",
        "time": resources.minutes,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": resources.cpus_per_cell,
        "gpus_per_node": resources.gpus_per_cell,
        "mem": f"{resources.memory_gb}GB",
        "array_parallelism": jobs or len(result.cells),
        "signal_delay_s": int(_PATIENCE),
        "additional_parameters": {"requeue": True},
    }
    return found | dict(result.study.resources.slurm)


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
        found = SlurmExecutor(folder=folder(result))
    except RuntimeError:
        raise EnvironmentProblem(
            "--launcher slurm: there is no `srun` on this machine; run it on a login node of the "
            "cluster, or leave the option out"
        ) from None
    try:
        found.update_parameters(**parameters(result, jobs=jobs))
    except (ValueError, TypeError) as error:
        line = str(error).splitlines()[0]
        raise FpnProbeError(f"resources.slurm: {line}; use submitit's Slurm parameters") from None
    return found


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
    for each in tracked:
        look_at(each)
    missing = [each for each in tracked if each.state is State.PENDING]
    submitted: list[Any] = []
    if missing:
        with via.batch():
            submitted += [via.submit(CellJob(result, each.cell, launch)) for each in missing]
    jobs = list(zip(missing, submitted, strict=True))
    for each, _ in jobs:
        each.elsewhere = True
    while jobs:
        watcher.update(tracked)
        left = []
        for each, job in jobs:
            if job.done():
                each.elsewhere = False
                judge(each, _exit_code(job))
            else:
                left.append((each, job))
        jobs = left
        if jobs:
            time.sleep(_POLL)
    for each in tracked:
        if each.state is State.PENDING:  # another runner's job has it
            each.state = each.cell.state()
    watcher.update(tracked)
    return tracked


def _exit_code(job: Any) -> int:
    error = job.exception()
    return int(job.result()) if error is None else 1
