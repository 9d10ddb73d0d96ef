"""The section on interventions: what a change of the backward pass did, and what it explains."""

from fpnprobe.report.sections.interventions.intervention_section import (
    document,
    judged,
    noted,
    opening,
    section,
)

__all__ = ["document", "judged", "noted", "opening", "section"]
