"""The section on the paper's claims: what was said, what was measured, and the verdict."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence import claims as rules
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Block, Section, Table, Text

_SIGNS = {"contradicted": "✕", "reproduced": "✓", "undecided": "?"}
VERDICTS = ("contradicted", "reproduced", "undecided")


def judged(folders: Sequence[Path], holes: list[str]) -> list[dict[str, Any]]:
    """Every claim of the paper once, judged by the study that could test it; `holes` grows."""
    best_by_statement: dict[str, dict[str, Any]] = {}
    for folder in folders:
        try:
            claims = rules.judge(folder)
        except (FpnProbeError, KeyError, TypeError, ValueError) as error:
            holes.append(f"the paper's claims were not judged: {error}")
            continue
        for claim in claims:
            content = claim.as_json()
            key = content["statement"]
            if best_by_statement.get(key, {"verdict": "not run"})["verdict"] == "not run":
                best_by_statement[key] = content
    return sorted(best_by_statement.values(), key=lambda claim: claim["verdict"] == "not run")


def document(claims: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Content of `claims.json`: the rule and all claims."""
    return {"rule": rules.RULE, "claims": [dict(claim) for claim in claims]}


def tally(claims: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Number of claims by verdict, of those that were run."""
    return {
        verdict: count
        for verdict in VERDICTS
        if (count := sum(claim["verdict"] == verdict for claim in claims))
    }


def section(
    claims: Sequence[Mapping[str, Any]], *, name_metric: Callable[[str], str] = str
) -> Section | None:
    """The claims that this study could test, None if it could test none.

    `name_metric` adds bounds to a metric.
    """
    run = [claim for claim in claims if claim["verdict"] != "not run"]
    run.sort(key=lambda claim: claim["verdict"] == "undecided")
    blocks: list[Block] = [Text(rules.RULE)]
    if not run:
        return None
    undecided = sum(claim["verdict"] == "undecided" for claim in run)
    frame = pd.DataFrame(
        [
            {
                "variant": claim["variant"],
                "baseline": claim["baseline"],
                "metric": ("mask " if claim.get("iou_type") == "segm" else "")
                + name_metric(claim["metric"]),
                "paper": ", ".join(
                    f"{printed['source']} {signed(printed['paper'])}"
                    for printed in claim["printed"]
                ),
                "measured": claim["measured"],
                "interval": _write_interval(claim),
                "seeds": claim["seeds"],
                "verdict": f"{_SIGNS[claim['verdict']]} {claim['verdict']}",
                "p_holm": claim["p_holm"],
                "note": claim["note"],
            }
            for claim in run
        ]
    )
    counts = ", ".join(f"{count} {verdict}" for verdict, count in tally(claims).items())
    untested = len(claims) - len(run)
    caption = f"{counts}. The other {untested} claims need variants or detectors of other studies."
    notes = set(frame["note"])
    if len(notes) == 1:
        frame = frame.drop(columns="note")
        caption += "".join(f" {note[:1].upper()}{note[1:]}." for note in notes if note)
    table = Table(
        "claims",
        "Claims that this study can test",
        caption + " Differences in AP points.",
        frame,
        {
            name: {"baseline": "against", "p_holm": "p (Holm)"}.get(name, name)
            for name in frame.columns
        },
        {"measured": "{:+.1f}", "p_holm": "{:.2g}"},
        rest=f"{undecided} undecided" if undecided else "",
        shown=len(run) - undecided,
    )
    return Section("verdicts", "What the paper says", [*blocks, table])


def _write_interval(claim: Mapping[str, Any]) -> str | None:
    low, high = claim["low"], claim["high"]
    return None if low is None or high is None else f"{signed(low)} to {signed(high)}"
