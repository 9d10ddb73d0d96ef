"""The folder that keeps generated data and results of checks between runs."""

import os
from pathlib import Path


def folder() -> Path:
    """`$FPNPROBE_CACHE`, or `~/.cache/fpnprobe`. Everything in it can be deleted."""
    return Path(os.environ.get("FPNPROBE_CACHE") or Path.home() / ".cache" / "fpnprobe")
