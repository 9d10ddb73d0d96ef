"""Rebuild the report of one or several study folders from their tables."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.figures.markup import grounded
from fpnprobe.report.compose import compose
from fpnprobe.report.page.content import Report
from fpnprobe.report.page.drawings import Drawing, draw
from fpnprobe.report.page.html import page
from fpnprobe.report.page.markdown import in_columns, markdown
from fpnprobe.report.page.pdf import typeset
from fpnprobe.report.sections import (
    claims,
    interventions,
    rules,
)
from fpnprobe.report.tables.read_studies import read
from fpnprobe.store import atomic
from fpnprobe.store.study import STUDY

_NUMBERS = re.compile(r"[-+]?\d[\d.]*(?:(?: | to | \[|, )[-+−]?\d[\d.]*\]?)*")


def build(
    study_dir: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """Write `report.html`, `.pdf` and `.md`, `claims.json`, `rules.json`, `figures/`, `tables/`.

    Args:
        study_dir: A study's output folder, the work_dir of a training with the probe, a tree with
            such, or several to combine into one report.
        out: Where to write; by default the (first) study folder itself, and `report/` in the
            folder of trainings.
        names: What the trainings are called.

    Returns:
        `html`, `markdown`, `claims` and `rules` as paths, `pdf` as path or None, `diagnosis` in a
        sentence, `headline` and `summary`: the answer and the variants' table as text, `found`:
        names of the rules that are found, and `note`: why there is no PDF, or
        what is amiss in it, or "".

    Raises:
        FpnProbeError: If a folder is neither or `out` cannot be written.
    """
    folder_list = [study_dir] if isinstance(study_dir, str | Path) else list(study_dir)
    if not folder_list:
        raise FpnProbeError("no study folder was given: expected one at least")
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise FpnProbeError(f"cannot write to {out}: it is a file, expected a folder")
    folders = [Path(folder) for folder in folder_list]
    stored = read(folders, names=names)
    target = _choose_target(folders, out, of_runs=stored.is_of_runs)
    studies = [folder for folder in folders if (folder / STUDY).is_file()]
    verdicts = interventions.judged(studies, stored.holes)
    findings = rules.diagnose(stored)
    report = compose(stored, claims.judged(studies, stored.holes), verdicts, findings)
    drawings = {figure.name: draw(figure) for figure in report.figures()}
    for name, drawing in drawings.items():
        atomic.write_text(target / "figures" / f"{name}.svg", grounded(drawing.wide))
    written = {f"figures/{name}.svg" for name in drawings}
    for name, csv in tables(report):
        atomic.write_text(target / "tables" / f"{name}.csv", csv)
        written.add(f"tables/{name}.csv")
    if out is None:  # the study's own folder, where all figures and tables are the report's
        _remove_former(target, written)
    content = {**claims.document(report.claims), "causes": interventions.document(verdicts)}
    atomic.write_json(target / "claims.json", content)
    diagnosis = rules.document(findings)
    atomic.write_json(target / "rules.json", diagnosis)
    beside = (target / "README.md").is_file()
    atomic.write_text(target / "report.html", page(report, drawings, readme=beside))
    atomic.write_text(target / "report.md", markdown(report))
    note = _write_pdf(report, drawings, target / "report.pdf")
    return {
        "html": str(target / "report.html"),
        "markdown": str(target / "report.md"),
        "pdf": str(target / "report.pdf") if (target / "report.pdf").is_file() else None,
        "claims": str(target / "claims.json"),
        "rules": str(target / "rules.json"),
        "diagnosis": diagnosis["diagnosis"],
        "headline": report.answer,
        "summary": in_columns(report.first),
        "found": [finding.rule for finding in findings if finding.verdict == "found"],
        "note": note,
    }


def _choose_target(folders: Sequence[Path], out: str | Path | None, *, of_runs: bool) -> Path:
    """Choose the folder of the report; never among the files of a training."""
    if out is not None:
        return Path(out)
    if not of_runs:
        return folders[0]
    if len(folders) == 1:
        return folders[0] / "report"
    return Path(os.path.commonpath([folder.resolve() for folder in folders])) / "report"


def tables(report: Report) -> list[tuple[str, str]]:
    """Name and CSV of every table, and of the table behind every figure."""
    frames = [(figure.name, figure.table) for figure in report.figures()]
    frames += [(table.name, table.frame) for table in report.tables()]
    # The last digits of a sum depend on the processor; a table does not.
    return [(name, _write_csv(frame)) for name, frame in frames]


def _write_csv(frame: pd.DataFrame) -> str:
    """A table as CSV in which no cell is a formula: spreadsheets run what begins with = + - @."""
    plain = frame.rename(columns=_without_formula)
    for column in plain.columns[~plain.dtypes.map(pd.api.types.is_numeric_dtype)]:
        plain[column] = plain[column].map(_without_formula)
    return str(plain.to_csv(index=False, float_format="%.9g"))


def _without_formula(value: object) -> object:
    """The value; a text that a spreadsheet would run gets an apostrophe before it.

    Signed numbers, one or several in a cell or with an interval, run nothing and stay as they are.

    >>> _without_formula("=HYPERLINK(1)"), _without_formula("-"), _without_formula("+0.4 [-1, +2]")
    ("'=HYPERLINK(1)", '-', '+0.4 [-1, +2]')
    """
    if not isinstance(value, str) or len(value) < 2 or value[0] not in "=+-@\t\r":
        return value
    return value if _NUMBERS.fullmatch(value) else f"'{value}"


def _remove_former(folder: Path, written: set[str]) -> None:
    """Remove the figures and tables of an earlier report that this one has not."""
    for path in (*folder.glob("figures/*.svg"), *folder.glob("tables/*.csv")):
        if path.relative_to(folder).as_posix() not in written:
            path.unlink()


def _write_pdf(report: Report, drawings: Mapping[str, Drawing], path: Path) -> str:
    try:
        content = typeset(report, drawings)
    except FpnProbeError as error:
        path.unlink(missing_ok=True)
        return str(error)
    atomic.write_bytes(path, content)
    return ""
