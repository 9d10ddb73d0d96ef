"""Reasons are named for what they are."""

import errno

import pytest

from fpnprobe.errors import FpnProbeError, NonFiniteLoss
from fpnprobe.study.runner.failures import exit_reason, reason


def wrapped() -> FpnProbeError:
    error = FpnProbeError("cannot write x")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (NonFiniteLoss("loss is nan"), "loss not finite"),
        (wrapped(), "disk full"),
        (FpnProbeError("a\nb"), "a b"),
        (ValueError("x"), "ValueError: x"),
    ],
)
def test_reason(error: Exception, start: str) -> None:
    assert reason(error).startswith(start)
    assert "\n" not in reason(error)


def test_exit_codes() -> None:
    assert "SIGTERM" in exit_reason(-15)
    assert "exit code 3" in exit_reason(3)
