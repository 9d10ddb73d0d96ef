"""The whole report as data: which sections it has, in which order, and what stands on top."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fpnprobe.evidence.diagnosis import headline
from fpnprobe.evidence.findings import Finding
from fpnprobe.report.page.content import Block, Figure, Report, Section, Text
from fpnprobe.report.sections import (
    average_precision,
    caveats,
    cell_facts,
    claims,
    first_screen,
    gradients,
    interventions,
    model,
    object_size,
    paper_tables,
    rules,
    snapshots,
    soundness,
    summary,
    training,
)
from fpnprobe.report.tables.stored import Stored

TELLING = ("effects", "figure-2", "figure-3", "routes")
"""Figures that may stand on the first screen, the most telling first."""


def compose(
    stored: Stored,
    claim_verdicts: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]] = (),
    findings: Sequence[Finding] = (),
) -> Report:
    """The whole report as data.

    Args:
        stored: All tables.
        claim_verdicts: The paper's claims.
        verdicts: Its explanations.
        findings: What the rules of the diagnosis say.
    """
    if stored.is_of_runs:
        return _compose_of_runs(stored, findings)
    names = [str(study["name"]) for study in stored.studies]
    questions = [str(s["question"]) for s in stored.studies if s.get("question")]
    expected = [str(s["expected"]) for s in stored.studies if s.get("expected")]
    sections = _filled(
        (
            average_precision.section(stored),
            claims.section(claim_verdicts, name_metric=stored.name_metric),
            interventions.section(stored, verdicts),
            rules.section(findings),
            interventions.noted(gradients.section(stored), stored),
            snapshots.section(stored),
            object_size.section(stored),
            training.section(stored),
            model.section(stored),
            paper_tables.section(stored),
            soundness.section(stored),
            cell_facts.section(stored),
        )
    )
    first, sections = _first_screen(stored, sections)
    return Report(
        title=" + ".join(names),
        question=stored.add_bounds(" ".join(dict.fromkeys(questions))),
        expected=stored.add_bounds(" ".join(dict.fromkeys(expected))),
        answer=interventions.opening(stored, verdicts, summary.answer(stored, claim_verdicts)),
        numbers=summary.numbers(stored, verdicts),
        warnings=caveats.warnings(stored),
        claims=claim_verdicts,
        sections=sections,
        first=first,
        origin=cell_facts.tell_origin(stored),
    )


def _filled(sections: Sequence[Section | None]) -> list[Section]:
    """The sections that have content, without figures in which nothing would be drawn."""
    drawn = [
        replace(
            section,
            blocks=[
                block for block in section.blocks if not isinstance(block, Figure) or block.panels
            ],
        )
        for section in sections
        if section is not None
    ]
    return [section for section in drawn if section.blocks and _has_content(section)]


def _first_screen(stored: Stored, sections: Sequence[Section]) -> tuple[list[Block], list[Section]]:
    """The variants' table and the telling figure, and the sections without that figure."""
    blocks = [block for section in sections for block in section.blocks]
    figures = {block.name: block for block in blocks if isinstance(block, Figure)}
    telling = next((figures[name] for name in TELLING if name in figures), None)
    left = [
        replace(section, blocks=[block for block in section.blocks if block is not telling])
        for section in sections
    ]
    first = [*first_screen.variants(stored), *([] if telling is None else [telling])]
    return first, [section for section in left if section.blocks]


def _compose_of_runs(stored: Stored, findings: Sequence[Finding]) -> Report:
    """The report of trainings that no study started: what was not measured is left out."""
    has_objects = len(stored.variants) > 1 or not caveats.finds_nothing(stored)
    every = (
        rules.section(findings),
        gradients.section(stored),
        average_precision.section(stored) if has_objects else None,
        object_size.section(stored) if has_objects else None,
        training.section(stored),
        soundness.section(stored),
        cell_facts.section(stored),
    )
    sections = _filled(every)
    first, sections = _first_screen(stored, sections)
    return Report(
        title=" + ".join(str(study["name"]) for study in stored.studies),
        question="What do the stages of this detector learn from?",
        expected="",
        answer=headline(findings),
        numbers=[entry for entry in summary.numbers(stored) if entry.value != "not measured"],
        warnings=caveats.warnings(stored),
        claims=(),
        sections=sections,
        first=first,
        origin=cell_facts.tell_origin(stored),
    )


def _has_content(section: Section) -> bool:
    """Whether a section holds a figure or a table; what is missing stands among the warnings."""
    return not all(isinstance(block, Text) for block in section.blocks)
