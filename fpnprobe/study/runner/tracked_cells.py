"""A cell as a runner sees it: whether it has to run, and what the end of its process means."""

import contextlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell import write_manifest
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder import progress
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.mending import find_damage
from fpnprobe.study.runner import exit_codes, failures


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
    handed_in: float = 0.0  # time when its command was seen to have ended well
    mend: bool = False  # done, but files of it have to be made again
    slot: int = 0  # which of the cells at the same time it is
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def reading(self) -> progress.Progress | None:
        """The cell's last progress, if its present process has told any."""
        latest = progress.read(self.cell.folder)
        return None if latest is None or latest.updated < self.started else latest


def check_if_done(cell_run: Tracked) -> None:
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


def record_exit(cell_run: Tracked, code: int) -> None:
    """Set the state of a cell whose process has ended: by its manifest, else by the exit code."""
    manifest = cell_run.cell.manifest() or {}
    recorded = manifest.get("state") if manifest.get("key") == cell_run.cell.key else None
    if recorded == "done" and code not in (exit_codes.BUSY, exit_codes.STOPPED):
        mended, cell_run.mend = cell_run.mend, False
        check_if_done(cell_run)
        if cell_run.state is State.PENDING and mended:
            reason = failures.DISK_FULL if code == exit_codes.DISK_FULL else manifest.get("reason")
            cell_run.state, cell_run.reason = (
                State.FAILED,
                str(reason or failures.exit_reason(code)),
            )
    elif code == exit_codes.BUSY:
        cell_run.state = State.PENDING  # another runner was faster
    elif recorded == "failed":
        cell_run.state, cell_run.reason = State.FAILED, str(manifest.get("reason") or "")
    elif code == exit_codes.DISK_FULL:  # the manifest may have found no space
        cell_run.state, cell_run.reason = State.FAILED, failures.DISK_FULL
    elif code == exit_codes.OTHER:
        cell_run.state, cell_run.reason = (
            State.FAILED,
            ("another run-study has changed the study in this folder: give each its own --out"),
        )
    elif code == exit_codes.STOPPED:
        cell_run.state, cell_run.reason = State.INTERRUPTED, "asked to stop from outside"
    else:
        cell_run.state, cell_run.reason = State.FAILED, failures.exit_reason(code)
        if recorded is not None:
            with contextlib.suppress(FpnProbeError, OSError):
                content = manifest | {"state": "failed", "reason": cell_run.reason}
                write_manifest(cell_run.cell.folder, content)
