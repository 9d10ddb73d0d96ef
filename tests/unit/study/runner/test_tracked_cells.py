"""What the end of a cell's process means to the runner."""

import errno
from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import State
from fpnprobe.store.cell import write_manifest
from fpnprobe.store.digests import digest_folder
from fpnprobe.study import run_result
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.runner import exit_codes, failures
from fpnprobe.study.runner.tracked_cells import Tracked, check_if_done, record_exit

KEY = "0123456789abcdef" * 4


@pytest.fixture
def tracked(tmp_path: Path) -> Tracked:
    return Tracked(Cell("q", "FPN", 0, KEY, tmp_path), 8, State.RUNNING)


def record(tracked: Tracked, state: str, **more: object) -> None:
    write_manifest(tracked.cell.folder, {"key": KEY, "state": state, **more})


@pytest.mark.parametrize("recorded", ["", "running", "failed", "done"])
def test_a_cell_that_another_runner_has_is_pending(tracked: Tracked, recorded: str) -> None:
    if recorded:
        record(tracked, recorded)
    record_exit(tracked, exit_codes.BUSY)
    assert tracked.state is State.PENDING


def test_done(tracked: Tracked) -> None:
    record(tracked, "done")
    (tracked.cell.folder / "evaluation.parquet").write_text("an older cell without digests")
    record_exit(tracked, exit_codes.DONE)
    assert (tracked.state, tracked.reason) == (State.DONE, "")


def test_failed_with_its_reason(tracked: Tracked) -> None:
    record(tracked, "failed", reason="loss not finite")
    record_exit(tracked, exit_codes.FAILED)
    assert (tracked.state, tracked.reason) == (State.FAILED, "loss not finite")


def test_the_reason_of_another_key_is_not_ours(tracked: Tracked) -> None:
    record(tracked, "failed", key="f" * 64, reason="old")
    record_exit(tracked, 3)
    assert tracked.reason == "ended with exit code 3; see log.txt"


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (exit_codes.STOPPED, State.INTERRUPTED, "asked to stop"),
        (exit_codes.OTHER, State.FAILED, "another run-study has changed the study"),
        (exit_codes.DISK_FULL, State.FAILED, "disk full: no space"),
        (-9, State.FAILED, "killed by SIGKILL"),
        (-15, State.FAILED, "killed by SIGTERM"),
        (1, State.FAILED, "exit code 1"),
    ],
)
def test_exit_codes(tracked: Tracked, code: int, state: State, reason: str) -> None:
    record(tracked, "running")
    record_exit(tracked, code)
    assert tracked.state is state
    assert reason in tracked.reason


def test_a_killed_process_leaves_a_failed_cell(tracked: Tracked) -> None:
    record(tracked, "running")
    record_exit(tracked, -9)
    assert "killed by SIGKILL" in (tracked.cell.manifest() or {})["reason"]


def test_what_only_training_makes_is_lost_loudly(tracked: Tracked) -> None:
    folder = tracked.cell.folder
    folder.mkdir(parents=True)
    for name in ("ledger.parquet", "evaluation.parquet"):
        (folder / name).write_text("table")
    record(tracked, "done", files=digest_folder(folder))
    check_if_done(tracked)
    assert tracked.state == "done"
    (folder / "ledger.parquet").write_text("other")
    check_if_done(tracked)
    assert tracked.state == "failed"
    assert "ledger.parquet is changed" in tracked.reason


def test_a_full_disk_is_the_fault_of_the_machine() -> None:
    def result(reason: str) -> dict[str, object]:
        return {"cells": [{"state": "failed", "reason": reason}], "contradicted": []}

    assert run_result.exit_code(result(failures.DISK_FULL)) == 3
    assert run_result.exit_code(result("loss not finite")) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_known_through_the_errors_it_causes(number: int) -> None:
    cause = OSError(number, "full")
    wrapped = FpnProbeError("cannot write x")
    wrapped.__cause__ = cause
    assert failures.is_disk_full(cause)
    assert failures.is_disk_full(wrapped)
    assert not failures.is_disk_full(OSError(errno.EACCES, "no"))
