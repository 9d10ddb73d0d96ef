"""One holder per folder: `flock` locks, which the kernel drops when their process ends.

A lock belongs to one open of the file, not to a process: looking at it, from the holder's process
too, does not release it (record locks of POSIX would be gone with the first close). The folder is
locked with its lock file, so that somebody who deletes the file does not let a second holder in.

A lock is never stale: a killed process releases it, and a process forked from the holder does not
inherit it. A network file system must support locks between its hosts (NFS 4, or NFS 3 with its
lock daemon); `find_local_only` tells of mounts that do not.
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

_TAKEN = (errno.EAGAIN, errno.EACCES)
_open_handles: set[int] = set()  # of this process alone: a forked child closes its copies


class Taken(FpnProbeError):
    """Somebody else holds the lock."""


@contextlib.contextmanager
def held(path: str | Path, *, wait: float = 1.0) -> Iterator[None]:
    """Hold the lock file `path`, and with it its folder, for the block; then remove the file.

    Args:
        path: The lock file, the only one of its folder; it tells who holds it.
        wait: Seconds to go on trying; a reader that looks at the lock holds it for an instant.

    Raises:
        Taken: If somebody else holds it all that time, also in this process.
        EnvironmentProblem: If the file system cannot lock.
    """
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FpnProbeError(
            f"cannot write {file.parent}: {error.strerror}; choose a folder that you can write to"
        ) from error
    until = time.monotonic() + wait
    while (handles := _try_to_lock(file)) is None:
        if time.monotonic() >= until:
            raise Taken(f"{file.parent} is in use by {holder(file)}")
        time.sleep(0.05)
    _open_handles.update(handles)
    try:
        yield
    finally:
        _open_handles.difference_update(handles)
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        _close_handles(handles)


def is_held(path: str | Path) -> bool:
    """Tell whether somebody holds the lock file now; looking changes nothing."""
    return any(_is_locked(candidate) for candidate in (Path(path), Path(path).parent))


def holder(path: str | Path) -> str:
    """Name the holder of the lock for a person."""
    try:
        who = json.loads(Path(path).read_text()[:1000])
        return f"process {int(who['pid'])} on {who['host']!s:.80}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def find_local_only(folder: str | Path, *, mounts: str | Path = "/proc/self/mounts") -> str:
    """Name the mount whose locks other hosts do not see, or "" where locks hold for all.

    Args:
        folder: The folder to be locked.
        mounts: The table of mounted file systems; "" is told where there is none to read.
    """
    try:
        rows = [line.split() for line in Path(mounts).read_text().splitlines()]
    except (OSError, ValueError):
        return ""
    resolved = Path(folder).resolve()
    above = [row for row in rows if len(row) > 3 and resolved.is_relative_to(_decode_mount(row[1]))]
    if not above:
        return ""
    _, mount, kind, options, *_ = max(above, key=lambda row: len(_decode_mount(row[1])))
    local = {"nolock", "local_lock=all", "local_lock=flock"}.intersection(options.split(","))
    return (
        f"{_decode_mount(mount)} ({kind}, {min(local)})" if kind.startswith("nfs") and local else ""
    )


def _decode_mount(mount: str) -> str:
    """A path of the mount table, which writes blanks as octal numbers."""
    return mount.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _TAKEN
    finally:
        os.close(handle)
    return False


def _try_to_lock(file: Path) -> tuple[int, ...] | None:
    """Locked handles of the folder and the file at the path now; None if somebody has them."""
    handles: list[int] = []
    try:
        handles.append(os.open(file.parent, os.O_RDONLY))
        if not _lock_handle(handles[0], file, required=False):
            _close_handles(handles)
            return None
        # no links: the file that a link leads to would be emptied below
        handles.append(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644))
        if not _lock_handle(handles[1], file, required=True) or not _is_at(handles[1], file):
            _close_handles(handles)
            return None
        os.ftruncate(handles[1], 0)
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the name
            os.pwrite(handles[1], json.dumps(who).encode(), 0)
    except EnvironmentProblem:
        _close_handles(handles)
        raise
    except OSError as error:
        _close_handles(handles)
        if not file.parent.is_dir():
            file.parent.mkdir(parents=True, exist_ok=True)
            return None
        why = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise FpnProbeError(f"cannot write {file}: {why}") from error
    return tuple(handles)


def _lock_handle(handle: int, file: Path, *, required: bool) -> bool:
    """Lock a handle; a file system that cannot lock folders is passed where it is not needed."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if required:
            raise EnvironmentProblem(
                f"the file system of {file.parent} cannot lock ({error.strerror}): mount it with "
                "lock support, or choose another output folder"
            ) from error
    return True


def _is_at(handle: int, file: Path) -> bool:
    """Tell whether the path still names the open file, which the last holder may have removed."""
    try:
        current = file.lstat()
    except FileNotFoundError:
        return False
    opened = os.fstat(handle)
    return (opened.st_dev, opened.st_ino) == (current.st_dev, current.st_ino)


def _close_handles(handles: list[int] | tuple[int, ...]) -> None:
    for handle in handles:
        os.close(handle)


def _forget_in_child() -> None:
    """Close the copies that a forked child has, which would hold the lock after its parent."""
    for handle in _open_handles:
        with contextlib.suppress(OSError):
            os.close(handle)
    _open_handles.clear()


os.register_at_fork(after_in_child=_forget_in_child)
