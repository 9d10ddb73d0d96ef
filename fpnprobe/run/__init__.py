"""A run opened for reading: `fpnprobe.open("reports/quickstart")`."""

from fpnprobe.run.opened_run import Run
from fpnprobe.run.opening import compare_runs, open_run

__all__ = ["Run", "compare_runs", "open_run"]
