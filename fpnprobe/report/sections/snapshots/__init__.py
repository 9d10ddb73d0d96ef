"""The section on kept weights: one set of images, measured as training goes on."""

from fpnprobe.report.sections.snapshots.snapshot_section import section

__all__ = ["section"]
