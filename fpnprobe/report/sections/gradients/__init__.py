"""The section on gradients: one figure or table a file, set together by `gradient_section`."""

from fpnprobe.report.sections.gradients.gradient_section import section

__all__ = ["section"]
