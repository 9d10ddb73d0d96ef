"""Run the cells of a study side by side, each in a process of its own, until none is missing."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell import write_manifest
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder import progress
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.mending import find_damage
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner import failures, worker
from fpnprobe.study.runner.launchers import Launch

_POLL = 0.25  # seconds
_PATIENCE = 20.0  # seconds that a stopping cell has to save its state


class Watcher(Protocol):
    """Is told how the cells come on."""

    def update(self, cells: Sequence["Tracked"]) -> None:
        """Called several times a second."""


@dataclass(slots=True)
class Tracked:
    """A cell as the runner sees it; `elsewhere` while another runner works on it."""

    cell: Cell
    iterations: int
    state: State = State.PENDING
    reason: str = ""
    elsewhere: bool = False
    started: float = 0.0  # time of the last start of its process
    mend: bool = False  # done, but files of it have to be made again
    slot: int = 0  # which of the cells at the same time it is
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def reading(self) -> progress.Progress | None:
        """The cell's last progress, if its present process has told any."""
        latest = progress.read(self.cell.folder)
        return None if latest is None or latest.updated < self.started else latest


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the cells have saved their state and stopped."""


def run(
    result: Output,
    selected: Sequence[Cell],
    *,
    launch: Launch,
    jobs: int,
    keep_going: bool,
    watcher: Watcher,
) -> list[Tracked]:
    """Run what is missing of the selected cells; return all of them with their states.

    Args:
        result: the study in its folder, `study.json` written.
        selected: cells to run.
        launch: how a cell's process is started.
        jobs: cells at the same time.
        keep_going: whether the others go on when a cell fails.
        watcher: is told how it goes.

    Raises:
        Interrupted: on Ctrl-C, after every cell has saved its state.
    """
    tracked = [Tracked(cell, result.iterations) for cell in selected]
    for cell_run in tracked:
        look_at(cell_run)
    try:
        while not _finished(tracked):
            _poll(tracked)
            failed = any(cell_run.state is State.FAILED for cell_run in tracked)
            if failed and not keep_going:
                _stop(tracked, watcher)
                break
            _start(result, tracked, launch=launch, jobs=jobs)
            watcher.update(tracked)
            time.sleep(_POLL)
    except KeyboardInterrupt:
        with _patient():
            _stop(tracked, watcher)
        raise Interrupted from None
    except BaseException:
        _stop(tracked, watcher)
        raise
    watcher.update(tracked)
    return tracked


def look_at(cell_run: Tracked) -> None:
    """Decide whether a cell has to run: one that is done does not, if its files are whole."""
    cell_run.state = State.PENDING
    if cell_run.cell.state() is not State.DONE or cell_run.cell.archive.is_dir():
        return  # of a cell in the archive, its worker brings it back
    damage = find_damage(cell_run.cell.stored())
    cell_run.mend = bool(damage.remade)
    if damage.lost and not damage.remade:
        cell_run.state, cell_run.reason = State.FAILED, damage.reason
    elif not damage:
        cell_run.state = State.DONE


def _finished(tracked: Sequence[Tracked]) -> bool:
    return all(
        cell_run.state in (State.DONE, State.FAILED, State.INTERRUPTED) for cell_run in tracked
    )


def _start(result: Output, tracked: Sequence[Tracked], *, launch: Launch, jobs: int) -> None:
    for cell_run in tracked:
        if sum(other.process is not None for other in tracked) >= jobs:
            return
        if cell_run.state is not State.PENDING or cell_run.process is not None:
            continue
        now = cell_run.cell.state()
        cell_run.elsewhere = now is State.RUNNING
        if cell_run.elsewhere:
            continue
        if now is State.DONE and not cell_run.cell.archive.is_dir() and not cell_run.mend:
            look_at(cell_run)
            if cell_run.state is not State.PENDING:
                continue
        cell_run.cell.folder.mkdir(parents=True, exist_ok=True)
        busy = {other.slot for other in tracked if other.process is not None}
        cell_run.slot = min(set(range(jobs)) - busy)
        cell_run.process = launch.start(result, cell_run.cell, slot=cell_run.slot)
        cell_run.state, cell_run.started = State.RUNNING, time.time()


def _poll(tracked: Sequence[Tracked]) -> None:
    for cell_run in tracked:
        if cell_run.process is None:
            continue
        code = cell_run.process.poll()
        if code is None:
            continue
        _close(cell_run.process)
        cell_run.process = None
        judge(cell_run, code)


def judge(cell_run: Tracked, code: int) -> None:
    """What the end of a cell's process means."""
    manifest = cell_run.cell.manifest() or {}
    recorded = manifest.get("state") if manifest.get("key") == cell_run.cell.key else None
    if recorded == "done" and code not in (worker.BUSY, worker.STOPPED):
        mended, cell_run.mend = cell_run.mend, False
        look_at(cell_run)
        if cell_run.state is State.PENDING and mended:
            reason = failures.DISK_FULL if code == worker.DISK_FULL else manifest.get("reason")
            cell_run.state, cell_run.reason = (
                State.FAILED,
                str(reason or failures.exit_reason(code)),
            )
    elif code == worker.BUSY:
        cell_run.state = State.PENDING  # another runner was faster
    elif recorded == "failed":
        cell_run.state, cell_run.reason = State.FAILED, str(manifest.get("reason", ""))
    elif code == worker.DISK_FULL:  # the manifest may have found no space
        cell_run.state, cell_run.reason = State.FAILED, failures.DISK_FULL
    elif code == worker.OTHER:
        cell_run.state, cell_run.reason = (
            State.FAILED,
            ("another run-study has changed the study in this folder: give each its own --out"),
        )
    elif code == worker.STOPPED:
        cell_run.state, cell_run.reason = State.INTERRUPTED, "asked to stop from outside"
    else:
        cell_run.state, cell_run.reason = State.FAILED, failures.exit_reason(code)
        if recorded is not None:
            with contextlib.suppress(FpnProbeError, OSError):
                content = manifest | {"state": "failed", "reason": cell_run.reason}
                write_manifest(cell_run.cell.folder, content)


def _stop(tracked: Sequence[Tracked], watcher: Watcher) -> None:
    """Ask the running cells to save their state and end; wait for them, but not for ever."""
    running = [cell_run for cell_run in tracked if cell_run.process is not None]
    for cell_run in running:
        assert cell_run.process is not None
        with contextlib.suppress(ProcessLookupError):
            cell_run.process.terminate()
    until = time.monotonic() + _PATIENCE
    for cell_run in running:
        assert cell_run.process is not None
        try:
            cell_run.process.wait(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            cell_run.process.kill()
            cell_run.process.wait()
        _close(cell_run.process)
        cell_run.process, cell_run.state = None, State.INTERRUPTED
    watcher.update(tracked)


def _close(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """A second Ctrl-C while cells save their state does not lose it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
