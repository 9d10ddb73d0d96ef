"""A lock has one holder among processes, and dies with it."""

import contextlib
import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
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


def test_looking_at_a_lock_does_not_release_it(tmp_path: Path) -> None:
    """Record locks of POSIX would be gone after the holder's process closed any handle."""
    path = tmp_path / "lock"
    with locks.held(path):
        assert locks.is_held(path)
        assert f"process {os.getpid()}" in locks.holder(path)
        with holding_fails(path) as told:
            assert f"process {os.getpid()}" in told
        with pytest.raises(locks.Taken), locks.held(path, wait=0):
            pass
        assert locks.is_held(path)
    assert not locks.is_held(path)


def test_two_processes_never_hold_it_at_once(tmp_path: Path) -> None:
    """Each adds one to a number, 25 times: nothing is lost."""
    number = tmp_path / "number"
    number.write_text("0")
    work = """
import sys, time
from pathlib import Path
from fpnprobe.store import locks
for _ in range(25):
    with locks.held(sys.argv[1], wait=60):
        assert locks.is_held(sys.argv[1])
        before = int(Path(sys.argv[2]).read_text())
        time.sleep(0.001)
        Path(sys.argv[2]).write_text(str(before + 1))
"""
    command = [sys.executable, "-c", work, str(tmp_path / "cell/lock"), str(number)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert number.read_text() == "50"


def test_a_deleted_lock_file_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.held(path):
        path.unlink()
        assert locks.is_held(path)
        with pytest.raises(locks.Taken), locks.held(path, wait=0.2):
            pass
    with locks.held(path, wait=0):
        pass


def test_a_file_that_is_not_at_the_path_any_more_is_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last holder removed it between our open and our lock: a second one may hold the next."""
    path = tmp_path / "lock"
    original = locks._lock_handle

    def lock(handle: int, file: Path, *, required: bool) -> bool:
        if required and path.exists():
            path.unlink()
        return original(handle, file, required=required)

    monkeypatch.setattr(locks, "_lock_handle", lock)
    with pytest.raises(locks.Taken), locks.held(path, wait=0.1):
        pass


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell/lock").symlink_to(victim)
    with pytest.raises(FpnProbeError, match="symbolic link"), locks.held(tmp_path / "cell/lock"):
        pass
    assert victim.read_text() == "mine"
    assert not locks.is_held(tmp_path / "cell/lock")


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    work = """
import os, sys, time
from fpnprobe.store import locks
with locks.held(sys.argv[1]):
    child = os.fork()
    if not child:
        time.sleep(30)
        os._exit(0)
    print(child, flush=True)
    os._exit(0)  # killed, so to say
"""
    command = [sys.executable, "-c", work, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    try:
        with locks.held(path, wait=5):
            pass
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_a_file_system_that_cannot_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(handle: int, _: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(EnvironmentProblem, match="cannot lock"), locks.held(tmp_path / "lock"):
        pass


def test_a_folder_that_cannot_be_locked_is_held_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, which locks no folders."""
    original = fcntl.flock

    def flock(handle: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        original(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.held(tmp_path / "lock"):
        assert locks.is_held(tmp_path / "lock")
        with pytest.raises(locks.Taken), locks.held(tmp_path / "lock", wait=0):
            pass


@pytest.mark.parametrize(
    ("options", "local"),
    [
        ("rw,local_lock=all", True),
        ("rw,nolock", True),
        ("rw,local_lock=none", False),
        ("rw", False),
    ],
)
def test_network_folders_without_locks_are_told(options: str, local: int, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    place = tmp_path / "net work"
    place.mkdir()
    shown = str(place).replace(" ", "\\040")
    short = f"host:/x {place} nfs"  # no line of a mount table: it is passed over
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\n{short}\nhost:/x {shown} nfs4 {options} 0 0\n")
    found = locks.find_local_only(place / "out", mounts=mounts)
    assert (str(place) in found) == bool(local)
    assert locks.find_local_only("/elsewhere", mounts=mounts) == ""
    assert locks.find_local_only(place, mounts=tmp_path / "none") == ""


@contextlib.contextmanager
def holding_fails(path: Path) -> Iterator[str]:
    """What another process is told that wants the lock."""
    work = (
        "import sys; from fpnprobe.store import locks\nwith locks.held(sys.argv[1], wait=0): pass"
    )
    command = [sys.executable, "-c", work, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    yield done.stderr
