"""Files that are there whole or not at all: temporary file, fsync, rename."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from fpnprobe.errors import FpnProbeError


def write(path: str | Path, fill: Callable[[BinaryIO], object]) -> None:
    """Create or replace `path` with what `fill` writes into the open binary file it is given.

    A crash, a full disk or an exception in `fill` leaves the old file, or none, and no remains.

    Raises:
        FpnProbeError: If the folder cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise FpnProbeError(
            f"cannot write {target}: {error.strerror}; choose a folder that you can write to"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_read_umask())  # mkstemp's is for its owner alone
        Path(name).replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise FpnProbeError(f"cannot write {target}: {error.strerror or error}") from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read_umask() -> int:
    """The process's umask, which can be read only by setting it: shortly to a strict one."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a loss of power; file systems without it are passed."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes to `path` atomically."""
    write(path, lambda file: file.write(content))


def write_text(path: str | Path, content: str) -> None:
    """Write UTF-8 text to `path` atomically."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, content: object) -> None:
    """Write `content` as indented, key-ordered JSON to `path` atomically."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")
