"""The section on training: one figure a file, set together by `training_section`."""

from fpnprobe.report.sections.training.training_section import section

__all__ = ["section"]
