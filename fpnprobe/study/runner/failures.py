"""Names the failure of a cell for what it is, with what to change."""

import errno
import signal

from fpnprobe.errors import FpnProbeError, NonFiniteLoss

_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


class Interrupted(BaseException):
    """The cell was asked to stop and has stopped; it can go on from its checkpoint."""


def reason(error: BaseException) -> str:
    """One line for a person: the kind of failure, its text, and what to change.

    >>> reason(OSError(28, "No space left on device"))
    'disk full: No space left on device; make space and run the same command again'
    """
    text = " ".join(str(error).split())[:500]
    if is_disk_full(error):
        return f"disk full: {_disk_error(error)}; {_MAKE_SPACE}"
    if isinstance(error, NonFiniteLoss):
        return (
            f"loss not finite: {text}; lower schedule.lr, lengthen schedule.warmup, set "
            "schedule.clip, or leave out schedule.amp"
        )
    memory = isinstance(error, MemoryError) or any(phrase in text.lower() for phrase in _MEMORY)
    if memory:
        return (
            f"out of memory: {text}; raise schedule.accumulate, lower schedule.batch or data.size, "
            "or run fewer cells at once (--jobs 1)"
        )
    if isinstance(error, FpnProbeError):
        return text
    return f"{type(error).__name__}: {text}"


_DISK = (errno.ENOSPC, errno.EDQUOT)
_MAKE_SPACE = "make space and run the same command again"
DISK_FULL = f"disk full: no space left for the cell; {_MAKE_SPACE}"


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an exception, or one that it came from, says that the disk is full."""
    return bool(_disk_error(error))


def _disk_error(error: BaseException) -> str:
    """Text of the first such error in a chain of exceptions; "" where there is none."""
    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, OSError) and cause.errno in _DISK:
            return cause.strerror or str(cause)
    return ""


def exit_reason(code: int) -> str:
    """Explain the exit code of a worker that left no manifest.

    >>> exit_reason(-9)
    'killed by SIGKILL, often by the system for lack of memory: run fewer cells at once (--jobs 1)'
    """
    if code >= 0:
        return f"ended with exit code {code}; see log.txt"
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        return (
            "killed by SIGKILL, often by the system for lack of memory: run fewer cells at once "
            "(--jobs 1)"
        )
    return f"killed by {name}"
