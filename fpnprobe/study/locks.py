"""One holder per cell: POSIX record locks, which the kernel drops when their process ends.

A lock is never stale: a killed process releases it. On a network file system this needs working
lock support (NFS 4, or NFS 3 with its lock daemon; not a mount with `nolock` or `local_lock`),
where the lock of a host that crashed is dropped when its lease ends.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from fpnprobe.errors import EnvironmentProblem, FpnProbeError

_TAKEN = {errno.EAGAIN, errno.EACCES}


class Taken(FpnProbeError):
    """Another process holds the lock."""


@contextlib.contextmanager
def held(path: str | Path, *, wait: float = 1.0) -> Iterator[None]:
    """Hold the lock file `path` for the block; the file is removed afterwards.

    Args:
        path: the lock file; it tells who holds it.
        wait: seconds to go on trying; a reader that looks at the lock holds it for an instant.

    Raises:
        Taken: if another process holds it all that time.
        EnvironmentProblem: if the file system cannot lock.
    """
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FpnProbeError(
            f"cannot write {file.parent}: {error.strerror}; choose a folder that you can write to"
        ) from error
    until = time.monotonic() + wait
    while (handle := _try(file)) is None:
        if time.monotonic() >= until:
            raise Taken(f"{file.parent} is in use by {holder(file)}")
        time.sleep(0.05)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        os.close(handle)


def is_held(path: str | Path) -> bool:
    """Whether a process holds the lock file now."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _TAKEN
    finally:
        os.close(handle)
    return False


def holder(path: str | Path) -> str:
    """Who holds the lock, as text for a person."""
    try:
        who = json.loads(Path(path).read_text())
        return f"process {who['pid']} on {who['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _try(file: Path) -> int | None:
    """A locked handle of the file that is at the path now, or None if somebody else has it."""
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise FpnProbeError(f"cannot write {file}: {error.strerror}") from error
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in _TAKEN:
            return None
        raise EnvironmentProblem(
            f"the file system of {file.parent} cannot lock ({error.strerror}): mount it with lock "
            "support, or choose another output folder"
        ) from error
    try:  # the last holder may have removed the file between our open and our lock
        same = os.fstat(handle).st_ino == file.stat().st_ino
    except FileNotFoundError:
        same = False
    if not same:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    os.pwrite(handle, json.dumps(who).encode(), 0)
    return handle
