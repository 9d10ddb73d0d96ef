"""From a study's stored tables to one page that people read, and the same as PDF.

Nothing is measured here and no model is built: torch is not even imported. The report is data
(`fpnprobe.report.page.content`), filled by one module per section, and set by one template.
"""

from fpnprobe.report.build import build

__all__ = ["build"]
