"""`progress.json`: where a cell is now, always readable, written by the process that runs it."""

import json
import os
import socket
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fpnprobe.store import atomic

FILE = "progress.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """One reading: `stage` is the step of a cell; `seconds` the training time spent so far.

    `doing` says, of the stage `start`, what takes so long before there are numbers.
    """

    stage: str = "start"
    iteration: int = 0
    iterations: int = 0
    seconds: float = 0.0
    per_iteration: float | None = None
    loss: float | None = None
    updated: float = 0.0
    pid: int = 0
    host: str = ""
    doing: str = ""


class ProgressWriter:
    """Writes readings, at most one per `every` seconds within a stage."""

    def __init__(self, folder: str | Path, *, iterations: int, every: float = 1.0) -> None:
        self._file = Path(folder) / FILE
        self._every = every
        self._last = 0.0
        self.now = Progress(iterations=iterations, pid=os.getpid(), host=socket.gethostname())

    def __call__(self, *, force: bool = False, **changes: Any) -> None:
        """Change some fields; what is new of `stage` and `doing` is always written."""
        before = self.now
        force = force or any(
            changes.get(name, getattr(before, name)) != getattr(before, name)
            for name in ("stage", "doing")
        )
        self.now = replace(self.now, updated=time.time(), **changes)
        if force or time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            atomic.write_json(self._file, asdict(self.now))


def read(folder: str | Path) -> Progress | None:
    """The last reading of a cell, or None if there is none."""
    try:
        content = json.loads((Path(folder) / FILE).read_text())
        return Progress(**content)
    except (OSError, ValueError, TypeError):
        return None
