"""Cells started by a command of yours: `ssh gpu1 {cell}`, `sky jobs launch -y -- {cell}`, ...

A cell is one process that finds everything in the study's folder and leaves its results there, so
whatever starts it on a machine that sees the folder will do. The command may wait for the cell or
only hand it in: what counts is what the folder says.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fpnprobe.store.cell_state import State
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.launchers import Launch
from fpnprobe.study.runner.local import Interrupted
from fpnprobe.study.runner.tracked_cells import Tracked, Watcher, check_if_done, record_exit
from fpnprobe.variants import slug

_POLL = 0.5  # seconds
LOG = "command.txt"  # what a command printed, in the cell's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The command that starts a cell.

    Attributes:
        text: A line for the shell. `{cell}` is the command of the cell, quoted for it; `{name}`,
            `{variant}`, `{seed}` and `{out}` name the cell and the study's folder.
        launch: How the cell's own process is started there.
    """

    text: str
    launch: Launch

    def fill(self, out: Path, cell: Cell) -> str:
        """Return the line that starts a cell; other braces stay as they are."""
        words = {
            "cell": shlex.join(self.launch.command(out.resolve(), cell, watched=False)),
            "name": f"{cell.study}-{slug(cell.variant)}-{cell.seed}".lower().replace("_", "-"),
            "variant": shlex.quote(cell.variant),
            "seed": str(cell.seed),
            "out": shlex.quote(str(out.resolve())),
        }
        line = self.text
        for word, value in words.items():
            line = line.replace(f"{{{word}}}", value)
        return line

    def start(self, output: Output, cell: Cell) -> "subprocess.Popen[bytes]":
        """Run the line; what it prints goes to `command.txt` in the cell's folder."""
        cell.folder.mkdir(parents=True, exist_ok=True)
        with (cell.folder / LOG).open("ab") as log:
            return subprocess.Popen(
                self.fill(output.out, cell),
                shell=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def run(
    output: Output,
    selected: Sequence[Cell],
    *,
    template: Template,
    jobs: int,
    watcher: Watcher,
) -> list[Tracked]:
    """Start what is missing, `jobs` cells at a time, and wait until every cell has ended.

    A cell whose command has ended well and whose folder tells of no end was handed in: it counts
    as one at a time until it is done or failed, at most `resources.minutes` after it.

    Raises:
        Interrupted: On Ctrl-C; commands that still run are ended, cells handed in go on.
    """
    tracked = [Tracked(cell, output.iterations) for cell in selected]
    for cell_run in tracked:
        check_if_done(cell_run)
    try:
        while any(cell_run.state in (State.PENDING, State.RUNNING) for cell_run in tracked):
            for cell_run in tracked:
                if cell_run.state is State.RUNNING:
                    _follow_command(cell_run, patience=output.study.resources.minutes * 60)
            running = sum(cell_run.state is State.RUNNING for cell_run in tracked)
            for cell_run in tracked:
                if running < jobs and cell_run.state is State.PENDING:
                    cell_run.process = template.start(output, cell_run.cell)
                    cell_run.state, cell_run.started, cell_run.elsewhere = (
                        State.RUNNING,
                        time.time(),
                        False,
                    )
                    running += 1
            watcher.update(tracked)
            time.sleep(_POLL)
    except BaseException as error:
        _end_commands(tracked)
        watcher.update(tracked)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted from None
        raise
    watcher.update(tracked)
    return tracked


def _follow_command(cell_run: Tracked, *, patience: float) -> None:
    """Look at the command of a cell while it runs, and at the cell's folder after that."""
    if cell_run.process is not None:
        code = cell_run.process.poll()
        if code is None:
            return
        cell_run.process = None
        if code:
            _explain_failure(cell_run, code)
            return
        cell_run.elsewhere, cell_run.reason = True, "handed in by its command"
        cell_run.handed_in = time.time()
    state = cell_run.cell.state()
    if state is State.DONE and not cell_run.cell.archive.is_dir():
        cell_run.elsewhere, cell_run.reason = False, ""
        check_if_done(cell_run)
    elif state is State.FAILED and _ended_since(cell_run):
        cell_run.elsewhere = False
        record_exit(cell_run, 1)
    elif time.time() - cell_run.handed_in > patience:
        cell_run.elsewhere, cell_run.state = False, State.FAILED
        cell_run.reason = (
            f"not done {patience / 60:.0f} min after its command had ended well "
            f"(resources.minutes); see {cell_run.cell.folder / LOG}"
        )


def _explain_failure(cell_run: Tracked, code: int) -> None:
    """Say why a command failed: by the cell's own word where it got so far."""
    if cell_run.cell.state() is State.DONE:
        check_if_done(cell_run)
        return
    if cell_run.cell.state() is State.FAILED and _ended_since(cell_run):
        record_exit(cell_run, 1)
        return
    printed = (cell_run.cell.folder / LOG).read_text(errors="replace").strip().splitlines()
    last = f": {printed[-1]:.200}" if printed else ""
    cell_run.state = State.FAILED
    cell_run.reason = f"its command ended with exit code {code}{last}"


def _ended_since(cell_run: Tracked) -> bool:
    """Tell whether the manifest is of this start: an earlier failure is none of it."""
    with contextlib.suppress(OSError):
        return (cell_run.cell.folder / "manifest.json").stat().st_mtime >= cell_run.started
    return False


def _end_commands(tracked: Sequence[Tracked]) -> None:
    for cell_run in tracked:
        if cell_run.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(cell_run.process.pid, signal.SIGTERM)
            cell_run.process = None
        if cell_run.state is State.RUNNING:
            cell_run.state = State.INTERRUPTED
