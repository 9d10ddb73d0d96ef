"""The section of the diagnosis: what written rules say about the stages, and what to try next."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence import diagnosis
from fpnprobe.evidence.findings import Finding
from fpnprobe.ledger import Ledger
from fpnprobe.report.page.content import Block, Section, Table, Text
from fpnprobe.report.tables.stored import Stored

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
    """The verdicts as a table; None where nothing was measured.

    Of several variants the clear verdicts are counted and not listed: `rules.json` has them all.
    """
    measured = [finding for finding in findings if finding.verdict != "not measured"]
    if not measured:
        return None
    several = len({finding.variant for finding in measured}) > 1
    listed = [finding for finding in measured if not several or finding.verdict != "clear"]
    blocks: list[Block] = [Text(diagnosis.headline(findings))]
    caption = (
        "A rule is found where its whole 95 % interval over samples is beyond the threshold. A "
        "verdict says what was measured and names no cause: that takes an intervention."
        f"{_describe_others(findings, listed)}"
    )
    if listed:
        blocks.append(_list_findings(listed, caption, several=several))
    else:
        blocks.append(Text(caption))
    return Section("diagnosis", "Diagnosis", blocks)


def _describe_others(findings: Sequence[Finding], listed: Sequence[Finding]) -> str:
    """Say what the table leaves out, after a space; "" where it has all."""
    clear = sum(finding.verdict == "clear" for finding in findings if finding not in listed)
    rules = {finding.rule for finding in findings}
    unmeasured = sorted(rules - {f.rule for f in findings if f.verdict != "not measured"})
    left_out = f" Clear, and not listed: {clear} further verdicts." if clear else ""
    return left_out + (f" Not measured: {', '.join(unmeasured)}." if unmeasured else "")


def _list_findings(listed: Sequence[Finding], caption: str, *, several: bool) -> Table:
    table = pd.DataFrame([_describe_finding(finding) for finding in listed])
    columns = {
        "rule": "rule",
        **({"variant": "variant"} if several else {}),
        "stage": "stage", "verdict": "verdict", "value": "value", "interval": "95 % interval",
        "threshold": "threshold", "samples": "samples", "sentence": "measured",
        **({"advice": "next step"} if table["advice"].any() else {}),
    }  # fmt: skip
    formats = {"value": "{:.3f}", "threshold": "{:g}"}
    return Table("rules", "Rules and verdicts", caption, table, columns, formats)


def _describe_finding(finding: Finding) -> Mapping[str, Any]:
    has_interval = finding.low == finding.low
    return {
        "rule": finding.rule,
        "variant": finding.variant,
        "stage": finding.stage,
        "verdict": ": ".join(filter(None, (_SIGNS[finding.verdict], finding.shortage))),
        "value": finding.value,
        "interval": f"{finding.low:.3f} to {finding.high:.3f}" if has_interval else None,
        "threshold": finding.threshold,
        "samples": finding.samples or "",
        "sentence": finding.sentence,
        "advice": finding.advice,
    }
