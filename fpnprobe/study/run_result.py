"""The result of a study that was run: lines for a person, an exit code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpnprobe.errors import EnvironmentProblem
from fpnprobe.store.selection import describe_unasked


def lines(result: Mapping[str, Any]) -> str:
    """The result for a person."""
    rows = [
        f"{cell['variant']} seed {cell['seed']}: {cell['state']} {cell['reason']}".rstrip()
        for cell in result["cells"]
    ]
    rows += [f"contradicted: {statement}" for statement in result["contradicted"]]
    unasked = describe_unasked(
        (cell["variant"], cell["seed"]) for cell in result.get("not_asked_for") or ()
    )
    rows += [f"{unasked} (run again without --variants and --seeds for all)"] if unasked else []
    report = result["report"]
    result_lines = [str(report[key]) for key in ("headline", "summary") if report.get(key)]
    if report.get("html"):
        result_lines.append(f"open {Path(report['html']).resolve().as_uri()}")
    result_lines += [str(report[key]) for key in ("pdf", "claims", "rules") if report.get(key)]
    diagnosis = [report["diagnosis"]] if report.get("diagnosis") else []
    return "\n".join([*rows, *result_lines, *diagnosis])


def exit_code(result: Mapping[str, Any], *, fail_on_claims: bool = False) -> int:
    """Return 0 if every selected cell is done, and no claim contradicted if that counts.

    3 if a cell failed because the disk is full, which is the machine's fault.
    """
    if any(cell["reason"].startswith("disk full") for cell in result["cells"]):
        return EnvironmentProblem.exit_code
    failed = any(cell["state"] != "done" for cell in result["cells"])
    return int(failed or (fail_on_claims and bool(result["contradicted"])))


def read_contradicted(report: Mapping[str, Any]) -> list[str]:
    """Statements that the study contradicts, from the report's `claims.json`."""
    if not report.get("claims"):
        return []
    content = json.loads(Path(report["claims"]).read_text())
    claims = [*content["claims"], *content.get("causes", {}).get("claims", [])]
    return [claim["statement"] for claim in claims if claim["verdict"] == "contradicted"]
