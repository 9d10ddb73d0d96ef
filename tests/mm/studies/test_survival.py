"""Killed at random, run by two at once, stopped by Ctrl-C: nothing is lost or done twice."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.store import locks
from fpnprobe.study import snapshot
from fpnprobe.study.folder import progress
from fpnprobe.study.runner import exit_codes, worker
from tests.mm.studies.test_resume import assert_same_cell
from tests.mm.tiny import study_file, tiny

LIMIT = 240.0  # seconds


def start(study: Path, out: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", "from fpnprobe.cli.main import entry; entry()", "run-study"]
    return subprocess.Popen(
        [*command, str(study), "--out", str(out), "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A job that a script put into the background has been told to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> bool:
    """Wait until the condition holds (True) or the process has ended (False)."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        if condition():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    raise TimeoutError


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def kill(process: "subprocess.Popen[str]", lock: Path, whom: str) -> None:
    """SIGKILL the runner, the cell's process, or both."""
    if whom != "runner":
        try:
            os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
        except (OSError, ValueError, KeyError):
            whom = "runner"
    if whom != "cell":
        process.kill()
    process.communicate()


def killed_until_done(
    tmp_path: Path, moment: Callable[[Path], Callable[[], bool]], kills: int, dice: random.Random
) -> None:
    changes: dict[str, Any] = {"schedule__iterations": 40, "probe__interval": 4}
    whole = tiny(tmp_path / "whole", **changes)
    assert worker.run(whole, "FPN", 0, device="cpu", stop=threading.Event()) == exit_codes.DONE
    study, out = study_file(tmp_path / "study", **changes), tmp_path / "killed"
    cell = out / "cells" / "fpn" / "seed-0"
    for _ in range(kills):
        process = start(study, out)
        if wait_for(moment(cell), process):
            kill(process, cell / "lock", dice.choice(["runner", "cell", "both"]))
        else:
            process.communicate()
    process = start(study, out)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    assert_same_cell(cell, whole.cells[0].folder)
    assert files(cell) == files(whole.cells[0].folder)
    assert not list(out.rglob(".*"))
    assert not (out / "archive").exists()


def test_killed_study_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    dice = random.Random(1)

    def moment(cell: Path) -> Callable[[], bool]:
        now = progress.read(cell)
        goal = (0 if now is None else now.iteration) + dice.randint(3, 12)
        return lambda: ((reading := progress.read(cell)) is not None) and reading.iteration >= goal

    killed_until_done(tmp_path, moment, kills=1, dice=dice)


@pytest.mark.slow
def test_killed_fifty_times(tmp_path: Path) -> None:
    dice = random.Random(2)

    def moment(cell: Path) -> Callable[[], bool]:
        until = time.monotonic() + dice.uniform(0.0, 25.0)
        return lambda: time.monotonic() > until

    killed_until_done(tmp_path, moment, kills=50, dice=dice)


def test_two_runners_share_the_work_and_status_is_always_readable(tmp_path: Path) -> None:
    study, out = study_file(tmp_path / "study", variants=["DC5", "FPN"]), tmp_path / "out"
    runners = [start(study, out, "--jobs", "1") for _ in range(2)]
    readings = 0
    while any(runner.poll() is None for runner in runners):
        if (out / "study.json").exists():
            found = snapshot.status(out)
            assert {each["variant"] for each in found["cells"]} == {"DC5", "FPN"}
            readings += 1
        time.sleep(0.05)
    for runner in runners:
        output, errors = runner.communicate()
        assert runner.returncode == 0, errors
        assert json.loads(output)["complete"]
    assert readings > 10
    for variant in ("dc5", "fpn"):
        log = (out / "cells" / variant / "seed-0" / "log.txt").read_text()
        assert log.count("--- ") == 1, log


def test_interrupt_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    study, out = study_file(tmp_path / "study", schedule__iterations=100000), tmp_path / "out"
    cell = out / "cells" / "fpn" / "seed-0"
    process = start(study, out)

    def training() -> bool:
        reading = progress.read(cell)
        return reading is not None and reading.iteration > 2

    assert wait_for(training, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "run the same command again" in errors.replace("\n", " ")
    assert "Traceback" not in errors
    assert not locks.is_held(cell / "lock")
    (row,) = snapshot.status(out)["cells"]
    assert row["state"] == "interrupted"
    assert row["iteration"] > 2
    assert (cell / "checkpoints" / "resume.pt").is_file()
