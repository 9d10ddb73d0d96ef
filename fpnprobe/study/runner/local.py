"""Run the cells of a study side by side, each in a process of its own, until none is missing."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence

from fpnprobe.store.cell_state import State
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.launchers import Launch
from fpnprobe.study.runner.tracked_cells import Tracked, Watcher, check_if_done, record_exit

_POLL = 0.25  # seconds
_PATIENCE = 20.0  # seconds that a stopping cell has to save its state


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the cells have saved their state and stopped."""


def run(
    output: Output,
    selected: Sequence[Cell],
    *,
    launch: Launch,
    jobs: int,
    keep_going: bool,
    watcher: Watcher,
) -> list[Tracked]:
    """Run what is missing of the selected cells; return all of them with their states.

    Args:
        output: The study in its folder, `study.json` written.
        selected: Cells to run.
        launch: How a cell's process is started.
        jobs: Cells at the same time.
        keep_going: Whether the others go on when a cell fails.
        watcher: Is told how it goes.

    Raises:
        Interrupted: On Ctrl-C, after every cell has saved its state.
    """
    tracked = [Tracked(cell, output.iterations) for cell in selected]
    for cell_run in tracked:
        check_if_done(cell_run)
    try:
        while not _have_all_ended(tracked):
            _poll_processes(tracked)
            failed = any(cell_run.state is State.FAILED for cell_run in tracked)
            if failed and not keep_going:
                _stop_cells(tracked, watcher)
                break
            _start_waiting(output, tracked, launch=launch, jobs=jobs)
            watcher.update(tracked)
            time.sleep(_POLL)
    except KeyboardInterrupt:
        with _ignore_second_interrupt():
            _stop_cells(tracked, watcher)
        raise Interrupted from None
    except BaseException:
        _stop_cells(tracked, watcher)
        raise
    watcher.update(tracked)
    return tracked


def _have_all_ended(tracked: Sequence[Tracked]) -> bool:
    return all(
        cell_run.state in (State.DONE, State.FAILED, State.INTERRUPTED) for cell_run in tracked
    )


def _start_waiting(
    output: Output, tracked: Sequence[Tracked], *, launch: Launch, jobs: int
) -> None:
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
            check_if_done(cell_run)
            if cell_run.state is not State.PENDING:
                continue
        cell_run.cell.folder.mkdir(parents=True, exist_ok=True)
        busy = {other.slot for other in tracked if other.process is not None}
        cell_run.slot = min(set(range(jobs)) - busy)
        cell_run.process = launch.start(output, cell_run.cell, slot=cell_run.slot)
        cell_run.state, cell_run.started = State.RUNNING, time.time()


def _poll_processes(tracked: Sequence[Tracked]) -> None:
    for cell_run in tracked:
        if cell_run.process is None:
            continue
        code = cell_run.process.poll()
        if code is None:
            continue
        _close_stdin(cell_run.process)
        cell_run.process = None
        record_exit(cell_run, code)


def _stop_cells(tracked: Sequence[Tracked], watcher: Watcher) -> None:
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
        _close_stdin(cell_run.process)
        cell_run.process, cell_run.state = None, State.INTERRUPTED
    watcher.update(tracked)


def _close_stdin(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


@contextlib.contextmanager
def _ignore_second_interrupt() -> Iterator[None]:
    """A second Ctrl-C while cells save their state does not lose it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
