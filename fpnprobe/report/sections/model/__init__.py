"""The section on the model: Figures 4 and 5, channels of a group, attribution to levels."""

from fpnprobe.report.sections.model.model_section import module_table, section

__all__ = ["module_table", "section"]
