"""The section on causes: which path was changed, what AP did, and what that says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence import explanations as rules
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Block, Section, Table, Text
from fpnprobe.report.sections.interventions import intervention_effects
from fpnprobe.report.sections.interventions import intervention_paths as changes
from fpnprobe.report.sections.interventions.intervention_paths import changed
from fpnprobe.report.tables.stored import Stored

_SIGNS = {"contradicted": "✕", "reproduced": "✓", "undecided": "?", "not run": "–"}
_BEFORE = (
    "The ledgers of interventions hold the gradient before the change: what would have arrived, "
    "not what trained the backbone."
)


def judged(folders: Sequence[Path], holes: list[str]) -> list[dict[str, Any]]:
    """The verdicts on both explanations, those that were run first; `holes` grows."""
    verdicts: list[dict[str, Any]] = []
    for folder in folders:
        try:
            verdicts += [cause.as_json() for cause in rules.judge(folder)]
        except (FpnProbeError, KeyError, TypeError, ValueError) as error:
            holes.append(f"the explanations were not judged: {error}")
    run = [cause for cause in verdicts if cause["verdict"] != "not run"]
    tested = {cause["prediction"] for cause in run}
    untested = {c["prediction"]: c for c in reversed(verdicts) if c["prediction"] not in tested}
    return run + [
        untested[explanation.prediction]
        for explanation in rules.EXPLANATIONS
        if explanation.prediction in untested
    ]


def document(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Part of `claims.json`: the rule and the verdicts."""
    return {"rule": rules.RULE, "claims": [dict(verdict) for verdict in verdicts]}


def opening(stored: Stored, verdicts: Sequence[Mapping[str, Any]], otherwise: str) -> str:
    """The report's first lines: which variants are interventions, and what they decide."""
    names = [entry.variant for entry in changed(stored)]
    if not names:
        return otherwise
    is_are = "is an intervention" if len(names) == 1 else "are interventions"
    sentence = (
        f"{', '.join(names)} {is_are}: a change of the backward pass in training only; model, "
        "forward pass, loss and evaluation are those of the twin."
    )
    run = [verdict for verdict in verdicts if verdict["verdict"] != "not run"]
    if not run:
        return f"{sentence} {otherwise}"
    clauses = [
        f"{verdict['statement']}: {verdict['verdict']} ({verdict['variant']} changes "
        f"{verdict['metric']} by {signed(verdict['difference'])} points"
        + (
            f", {signed(verdict['low'])} to {signed(verdict['high'])}"
            if verdict["low"] is not None
            else ""
        )
        + ")"
        for verdict in run
    ]
    return f"{stored.add_bounds('; '.join(clauses))}. {sentence}"


def noted(section: Section, stored: Stored) -> Section:
    """The section on gradients, which says what the ledgers of interventions hold."""
    if not changed(stored):
        return section
    return replace(section, blocks=[Text(_BEFORE, "note"), *section.blocks])


def section(stored: Stored, verdicts: Sequence[Mapping[str, Any]]) -> Section | None:
    """The verdicts, the paths that were changed, and the effects; None without interventions."""
    entries = changed(stored)
    if not entries:
        return None
    blocks: list[Block] = [
        Text(
            "An intervention multiplies the gradient of chosen objects on chosen routes into "
            "chosen stages, while the variant trains. The forward pass, the loss and the "
            "evaluation are those of its untouched twin to the last bit, so what AP does is "
            f"caused by the path that was changed. {_BEFORE}"
        ),
        Text(rules.RULE),
        _list_verdicts(stored, verdicts),
        changes.figure(stored, entries),
    ]
    table = intervention_effects.effects(stored)
    lonely = [entry.variant for entry in entries if not entry.twin]
    if lonely:
        blocks.append(Text(f"Without an untouched twin: {', '.join(lonely)}.", "hole"))
    if table.empty:
        blocks.append(Text("Not measured: no intervention and twin were evaluated.", "hole"))
    else:
        blocks += [
            intervention_effects.figure(stored, table),
            intervention_effects.numbers(stored, table),
        ]
    return Section("causes", "Causes: a path is changed, and AP answers", blocks)


def _list_verdicts(stored: Stored, verdicts: Sequence[Mapping[str, Any]]) -> Table:
    frame = pd.DataFrame(
        [
            {
                "explanation": stored.add_bounds(verdict["statement"]),
                "prediction": stored.add_bounds(verdict["prediction"]),
                "variant": verdict["variant"], "against": verdict["twin"],
                "measured": verdict["difference"],
                "interval": intervention_effects.interval(verdict["low"], verdict["high"]),
                "seeds": verdict["seeds"],
                "verdict": f"{_SIGNS[verdict['verdict']]} {verdict['verdict']}",
                "note": verdict["note"],
            }
            for verdict in verdicts
        ]
    )  # fmt: skip
    columns = [n for n in frame.columns if n != "note" or (len(frame) and frame["note"].any())]
    return Table(
        "explanations",
        "The paper's two explanations",
        "Changes of the metric in the prediction, in AP points, with 95 % intervals over seeds "
        "and images.",
        frame[columns],
        {name: name for name in columns},
        {"measured": "{:+.1f}"},
    )
