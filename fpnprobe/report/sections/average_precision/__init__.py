"""The section on AP by object size: Figures 1 and 3, differences, every cell."""

from fpnprobe.report.sections.average_precision.precision_section import section

__all__ = ["section"]
