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
from fpnprobe.report.sections import intervention_effects
from fpnprobe.report.sections import intervention_paths as changes
from fpnprobe.report.sections.intervention_paths import changed
from fpnprobe.report.tables.read_studies import Stored

_SIGNS = {"contradicted": "✕", "reproduced": "✓", "undecided": "?", "not run": "–"}
_BEFORE = (
    "The ledgers of interventions hold the gradient before the change: what would have arrived, "
    "not what trained the backbone."
)


def judged(folders: Sequence[Path], holes: list[str]) -> list[dict[str, Any]]:
    """The verdicts on both explanations, those that were run first; `holes` grows."""
    found: list[dict[str, Any]] = []
    for folder in folders:
        try:
            found += [cause.as_json() for cause in rules.judge(folder)]
        except (FpnProbeError, KeyError, TypeError, ValueError) as error:
            holes.append(f"the explanations were not judged: {error}")
    run = [cause for cause in found if cause["verdict"] != "not run"]
    tested = {cause["prediction"] for cause in run}
    rest = {c["prediction"]: c for c in reversed(found) if c["prediction"] not in tested}
    return run + [rest[each.prediction] for each in rules.EXPLANATIONS if each.prediction in rest]


def document(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Part of `claims.json`: the rule and the verdicts."""
    return {"rule": rules.RULE, "claims": [dict(each) for each in verdicts]}


def opening(stored: Stored, verdicts: Sequence[Mapping[str, Any]], otherwise: str) -> str:
    """The report's first lines: which variants are interventions, and what they decide."""
    names = [each.variant for each in changed(stored)]
    if not names:
        return otherwise
    is_are = "is an intervention" if len(names) == 1 else "are interventions"
    said = (
        f"{', '.join(names)} {is_are}: a change of the backward pass in training only; model, "
        "forward pass, loss and evaluation are those of the twin."
    )
    run = [each for each in verdicts if each["verdict"] != "not run"]
    if not run:
        return f"{said} {otherwise}"
    parts = [
        f"{each['statement']}: {each['verdict']} ({each['variant']} changes {each['metric']} by "
        f"{signed(each['difference'])} points"
        + (f", {signed(each['low'])} to {signed(each['high'])}" if each["low"] is not None else "")
        + ")"
        for each in run
    ]
    return f"{stored.add_bounds('; '.join(parts))}. {said}"


def noted(section: Section, stored: Stored) -> Section:
    """The section on gradients, which says what the ledgers of interventions hold."""
    if not changed(stored):
        return section
    return replace(section, blocks=[Text(_BEFORE, "note"), *section.blocks])


def section(stored: Stored, verdicts: Sequence[Mapping[str, Any]]) -> Section | None:
    """The verdicts, the paths that were changed, and the effects; None without interventions."""
    found = changed(stored)
    if not found:
        return None
    blocks: list[Block] = [
        Text(
            "An intervention multiplies the gradient of chosen objects on chosen routes into "
            "chosen stages, while the variant trains. The forward pass, the loss and the "
            "evaluation are those of its untouched twin to the last bit, so what AP does is "
            f"caused by the path that was changed. {_BEFORE}"
        ),
        Text(rules.RULE),
        _verdicts(stored, verdicts),
        changes.figure(stored, found),
    ]
    table = intervention_effects.effects(stored)
    lonely = [each.variant for each in found if not each.twin]
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


def _verdicts(stored: Stored, verdicts: Sequence[Mapping[str, Any]]) -> Table:
    frame = pd.DataFrame(
        [
            {
                "explanation": stored.add_bounds(each["statement"]),
                "prediction": stored.add_bounds(each["prediction"]),
                "variant": each["variant"], "against": each["twin"],
                "measured": each["difference"],
                "interval": intervention_effects.interval(each["low"], each["high"]),
                "seeds": each["seeds"], "verdict": f"{_SIGNS[each['verdict']]} {each['verdict']}",
                "note": each["note"],
            }
            for each in verdicts
        ]
    )  # fmt: skip
    shown = [n for n in frame.columns if n != "note" or (len(frame) and frame["note"].any())]
    return Table(
        "explanations",
        "The paper's two explanations",
        "Changes of the metric in the prediction, in AP points, with 95 % intervals over seeds "
        "and images.",
        frame[shown],
        {name: name for name in shown},
        {"measured": "{:+.1f}"},
    )
