"""Cells that a command hands in: how long the runner waits for what their folder says."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from fpnprobe.store import State
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.runner import command
from fpnprobe.study.runner.tracked_cells import Tracked


def test_patience_begins_when_the_command_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that blocks for an hour, on a file system that shows the folder late."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    now = time.time()
    cell_run = Tracked(
        Cell("q", "FPN", 0, "key", tmp_path), 8, State.RUNNING, started=now - 3600, process=process
    )
    command._follow_command(cell_run, patience=60)
    assert (cell_run.state, cell_run.elsewhere) == (State.RUNNING, True)
    monkeypatch.setattr(time, "time", lambda: now + 50)
    command._follow_command(cell_run, patience=60)
    assert (cell_run.state, cell_run.elsewhere) == (State.RUNNING, True)
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    command._follow_command(cell_run, patience=60)
    assert (cell_run.state, cell_run.elsewhere) == (State.FAILED, False)
    assert "not done 1 min after its command had ended well" in cell_run.reason
