"""A lock has one holder among processes, and dies with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import locks

HOLD = """
import sys
from fpnprobe.store import locks
with locks.held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_holder_who_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        assert locks.is_held(path)
        with pytest.raises(locks.Taken, match=f"process {process.pid}"), locks.held(path, wait=0.1):
            pass
        assert locks.is_held(path)
        process.communicate()
    assert not locks.is_held(path)
    assert not path.exists()
    with locks.held(path):
        assert path.exists()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        process.kill()
        process.wait()
        assert path.exists()
        assert not locks.is_held(path)
        with locks.held(path, wait=0):
            pass


def test_the_lock_goes_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), locks.held(tmp_path / "lock"):
        raise ValueError("x")
    assert not (tmp_path / "lock").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FpnProbeError, match="cannot write"), locks.held(tmp_path / "file/lock"):
        pass
