"""Cells as jobs of a Slurm array, through submitit; a preempted job saves its state first."""

import time
from collections.abc import Sequence
from typing import Any

from fpnprobe.store.cell_state import State
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.launchers import Launch
from fpnprobe.study.runner.slurm_jobs import CellJob
from fpnprobe.study.runner.tracked_cells import Tracked, Watcher, check_if_done, record_exit

_POLL = 2.0  # seconds
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
    "COMPLETING": "its job ends",
    "RUNNING": "runs",
}


def run(
    output: Output,
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
    tracked = [Tracked(cell, output.iterations) for cell in selected]
    for cell_run in tracked:
        check_if_done(cell_run)
    missing = [cell_run for cell_run in tracked if cell_run.state is State.PENDING]
    submitted: list[Any] = []
    if missing:
        with via.batch():
            submitted += [
                via.submit(CellJob(output, cell_run.cell, launch)) for cell_run in missing
            ]
    jobs = list(zip(missing, submitted, strict=True))
    for cell_run, _ in jobs:
        cell_run.elsewhere = True
    while jobs:
        left = []
        for cell_run, job in jobs:
            if job.done():
                cell_run.elsewhere = False
                record_exit(cell_run, _exit_code(job))
                _blame_slurm(cell_run, job)
            else:
                cell_run.reason = _describe_job(job)
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


def _state_of_job(job: Any) -> str:
    """Return Slurm's word for the state of a job, as NODE_FAIL of `NODE_FAIL by 0`."""
    return (str(job.state).split() or [""])[0].rstrip("+").upper()


def _describe_job(job: Any) -> str:
    """Say where a job is that has not ended."""
    return f"Slurm job {job.job_id}: {_WAITING.get(_state_of_job(job), _state_of_job(job).lower())}"


def _blame_slurm(cell_run: Tracked, job: Any) -> None:
    """Say so where Slurm ended a job: the cell itself could not."""
    fault = _FAULTS.get(_state_of_job(job))
    if fault is not None and cell_run.state is not State.DONE:
        cell_run.state = State.FAILED
        cell_run.reason = (
            f"Slurm job {job.job_id}: {fault}; the same command goes on from the last checkpoint"
        )
