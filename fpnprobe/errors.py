"""The errors that a user sees: one line, what was given, what was expected, how to fix it."""


class FpnProbeError(Exception):
    """Bad usage or bad input. The message is one line; the command line exits with `exit_code`."""

    exit_code = 2


class ClaimFailed(FpnProbeError):
    """A claim, rule or tolerance did not hold."""

    exit_code = 1


class EnvironmentProblem(FpnProbeError):
    """Something outside the input is missing: a package, a device, a system library, disk space."""

    exit_code = 3


class Interrupted(FpnProbeError):
    """The user stopped the work; the message says how to go on."""

    exit_code = 130


class NonFiniteLoss(FpnProbeError):
    """The training loss became NaN or infinite."""
