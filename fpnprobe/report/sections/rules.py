"""The section of the diagnosis: what written rules say about the stages, and what to try next."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence import diagnosis
from fpnprobe.evidence.findings import Finding
from fpnprobe.ledger import Ledger
from fpnprobe.report.page.content import Section, Table, Text
from fpnprobe.report.tables.read_studies import Stored

_SIGNS = {"found": "✕ found", "clear": "✓ clear", "undecided": "? undecided"}


def diagnose(stored: Stored) -> list[Finding]:
    """The verdict of every rule about every variant that has a ledger."""
    ledgers: dict[str, list[Ledger]] = {}
    for cell in stored.cells:
        if cell.folder is None or not cell.shown:
            continue
        try:
            ledger = Ledger.read(cell.folder)
        except FpnProbeError:
            continue  # the report names it among what is missing
        ledgers.setdefault(cell.variant, []).append(ledger)
    return diagnosis.diagnose(ledgers, buckets=stored.buckets)


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Content of `rules.json`: the diagnosis in a sentence, and every verdict."""
    return {
        "diagnosis": diagnosis.headline(findings),
        "rules": [finding.to_data() for finding in findings],
    }


def section(findings: Sequence[Finding]) -> Section | None:
    """The verdicts as a table; None where nothing was measured."""
    told = [finding for finding in findings if finding.verdict != "not measured"]
    if not told:
        return None
    table = pd.DataFrame([_row(finding) for finding in told])
    asked = [finding.rule for finding in findings if finding.verdict == "not measured"]
    left = f" Not measured: {', '.join(dict.fromkeys(asked))}." if asked else ""
    return Section(
        "rules",
        "Diagnosis",
        [
            Text(diagnosis.headline(findings)),
            Table(
                "rules",
                "Rules and verdicts",
                "A rule is found where its whole 95 % interval over samples is beyond the "
                "threshold. A verdict says what was measured and names no cause: that takes an "
                f"intervention.{left}",
                table,
                {
                    "rule": "rule",
                    **({"variant": "run"} if table["variant"].nunique() > 1 else {}),
                    "stage": "stage", "verdict": "verdict", "value": "value",
                    "interval": "95 % interval", "threshold": "threshold",
                    "samples": "samples", "sentence": "measured",
                    **({"advice": "next step"} if table["advice"].any() else {}),
                },
                {"value": "{:.3f}", "threshold": "{:g}"},
            ),
        ],
    )  # fmt: skip


def _row(finding: Finding) -> Mapping[str, Any]:
    known = finding.low == finding.low
    return {
        "rule": finding.rule,
        "variant": finding.variant,
        "stage": finding.stage,
        "verdict": _SIGNS[finding.verdict],
        "value": finding.value,
        "interval": f"{finding.low:.3f} to {finding.high:.3f}" if known else "",
        "threshold": finding.threshold,
        "samples": finding.samples or "",
        "sentence": finding.sentence,
        "advice": finding.advice,
    }
