"""Rebuild the report of one or several study folders from their tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.report.page.content import Report
from fpnprobe.report.page.drawings import Drawing, draw
from fpnprobe.report.page.html import page
from fpnprobe.report.page.pdf import typeset
from fpnprobe.report.sections import (
    average_precision,
    caveats,
    claims,
    gradients,
    interventions,
    model,
    object_size,
    paper_tables,
    snapshots,
    soundness,
    summary,
    training,
)
from fpnprobe.report.tables.read_studies import Stored, read
from fpnprobe.store import atomic


def build(
    study_dir: str | Path | Sequence[str | Path], *, out: str | Path | None = None
) -> dict[str, Any]:
    """Write `report.html`, `report.pdf`, `claims.json`, `figures/*.svg` and `tables/*.csv`.

    Args:
        study_dir: a study's output folder, or several to combine into one report.
        out: where to write; the (first) study folder itself by default.

    Returns:
        `html` and `claims` as paths, `pdf` as path or None, and `note`: why there is no PDF, or "".

    Raises:
        FpnProbeError: if a folder is not a study folder or `out` cannot be written.
    """
    given = [study_dir] if isinstance(study_dir, str | Path) else list(study_dir)
    if not given:
        raise FpnProbeError("no study folder was given: expected one at least")
    folders = [Path(folder) for folder in given]
    target = Path(out) if out is not None else folders[0]
    stored = read(folders)
    verdicts = interventions.judged(folders, stored.holes)
    report = compose(stored, claims.judged(folders, stored.holes), verdicts)
    drawings = {figure.name: draw(figure) for figure in report.figures()}
    for name, drawing in drawings.items():
        atomic.write_text(target / "figures" / f"{name}.svg", drawing.wide)
    written = {f"figures/{name}.svg" for name in drawings}
    for name, csv in tables(report):
        atomic.write_text(target / "tables" / f"{name}.csv", csv)
        written.add(f"tables/{name}.csv")
    if out is None:  # the study's own folder, where all figures and tables are the report's
        _remove_former(target, written)
    content = {**claims.document(report.claims), "causes": interventions.document(verdicts)}
    atomic.write_json(target / "claims.json", content)
    atomic.write_text(target / "report.html", page(report, drawings))
    note = _pdf(report, drawings, target / "report.pdf")
    return {
        "html": str(target / "report.html"),
        "pdf": None if note else str(target / "report.pdf"),
        "claims": str(target / "claims.json"),
        "note": note,
    }


def compose(
    stored: Stored,
    found: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]] = (),
) -> Report:
    """The whole report as data; `found` are the paper's claims, `verdicts` its explanations."""
    names = [str(study["name"]) for study in stored.studies]
    questions = [str(s["question"]) for s in stored.studies if s.get("question")]
    expected = [str(s["expected"]) for s in stored.studies if s.get("expected")]
    return Report(
        title=" + ".join(names),
        question=" ".join(dict.fromkeys(questions)),
        expected=" ".join(dict.fromkeys(expected)),
        answer=interventions.opening(stored, verdicts, summary.answer(stored, found)),
        numbers=summary.numbers(stored),
        warnings=caveats.warnings(stored),
        claims=found,
        sections=[
            section
            for section in (
                average_precision.section(stored),
                claims.section(found, name_metric=stored.name_metric),
                interventions.section(stored, verdicts),
                interventions.noted(gradients.section(stored), stored),
                snapshots.section(stored),
                object_size.section(stored),
                training.section(stored),
                model.section(stored),
                paper_tables.section(stored),
                soundness.section(stored),
                soundness.provenance(stored),
            )
            if section is not None
        ],
    )


def tables(report: Report) -> list[tuple[str, str]]:
    """Name and CSV of every table, and of the table behind every figure."""
    frames = [(figure.name, figure.table) for figure in report.figures()]
    frames += [(table.name, table.frame) for table in report.tables()]
    # The last digits of a sum depend on the processor; a table does not.
    return [(name, _csv(frame)) for name, frame in frames]


def _csv(frame: pd.DataFrame) -> str:
    """A table as CSV in which no cell is a formula: spreadsheets run what begins with = + - @."""
    plain = frame.rename(columns=_without_formula)
    for column in plain.columns[~plain.dtypes.map(pd.api.types.is_numeric_dtype)]:
        plain[column] = plain[column].map(_without_formula)
    return str(plain.to_csv(index=False, float_format="%.9g"))


def _without_formula(value: object) -> object:
    """The value; a text that a spreadsheet would run gets an apostrophe before it.

    >>> _without_formula("=HYPERLINK(1)"), _without_formula("FPN"), _without_formula("-"), -0.5
    ("'=HYPERLINK(1)", 'FPN', '-', -0.5)
    """
    begins = isinstance(value, str) and len(value) > 1 and value[0] in "=+-@\t\r"
    return f"'{value}" if begins else value


def _remove_former(folder: Path, written: set[str]) -> None:
    """Remove the figures and tables of an earlier report that this one has not."""
    for path in (*folder.glob("figures/*.svg"), *folder.glob("tables/*.csv")):
        if path.relative_to(folder).as_posix() not in written:
            path.unlink()


def _pdf(report: Report, drawings: Mapping[str, Drawing], path: Path) -> str:
    try:
        content = typeset(report, drawings)
    except FpnProbeError as error:
        path.unlink(missing_ok=True)
        return str(error)
    atomic.write_bytes(path, content)
    return ""
