"""The cells of a study folder as a report names them, with names that fit a label."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.figures.wording import short
from fpnprobe.store import State, StoredCell, StoredStudy
from fpnprobe.store.cell_state import NOT_ASKED_FOR
from fpnprobe.store.runs import is_run
from fpnprobe.store.selection import describe_unasked

LONGEST = 48
TABLES = ("ledger.parquet", "conflict.parquet", "training.parquet", "evaluation.parquet")
"""The files of a cell that a report reads."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One variant and seed: its manifest, and the folder it came from (None if never started).

    `name` is the variant's own name; `variant` is what the report calls it, which begins with the
    study where several are combined. Its tables are shown where `shown` is true: results of other
    settings are not set side by side. `is_run` is true of a training that no study started.
    """

    study: str
    name: str
    variant: str
    seed: int
    state: str
    reason: str
    manifest: Mapping[str, Any]
    folder: Path | None
    shown: bool = True
    is_run: bool = False


def plain(value: object) -> str:
    """Names on one line: no control characters, so they fit a label and a table cell."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", str(value)).strip()


def label(name: object) -> str:
    """Name a variant as the report does: on one line, cut where it is very long.

    >>> label("x" * 200) == label("x" * 199), label("FPN")
    (False, 'FPN')
    """
    text = plain(name)
    if len(text) <= LONGEST:
        return text
    # the digest keeps two long names apart
    return f"{short(text, LONGEST - 7)} {hashlib.sha256(text.encode()).hexdigest()[:6]}"


def name_cells(stored: StoredStudy, *, name: str, prefix: str, holes: list[str]) -> list[Cell]:
    """The cells of a study in its order; those that are not done are named in `holes`.

    Cells that `run-study` was not asked for are left out: one sentence names them.

    Args:
        stored: The study's folder.
        name: What the report calls the study.
        prefix: What the report's names of its variants begin with.
        holes: Sentences about what is missing, which this adds to.
    """
    holes += [plain(problem) for problem in stored.problems]
    asked = [cell for cell in stored.cells if cell.reason != NOT_ASKED_FOR]
    cells = [_name_cell(cell, name, prefix) for cell in asked]
    unasked = [(prefix + label(c.variant), c.seed) for c in stored.cells if c not in asked]
    holes += [f"{describe_unasked(unasked)}: they are left out"] if unasked else []
    for on_disk in stored.cells:
        for file, kind in on_disk.find_damage(*TABLES).items():
            holes.append(
                f"{prefix}{label(on_disk.variant)}, seed {on_disk.seed}: {file} is {kind} since "
                "the cell was finished: its tables are left out"
            )
    for cell in cells:
        if cell.state != "done":
            why = f": {cell.reason}" if cell.reason else ""
            holes.append(f"{cell.variant}, seed {cell.seed}: {cell.state}{why}")
        for step, why in (cell.manifest.get("holes") or {}).items():
            lack = "feature maps" if step == "features" else step
            holes.append(f"{cell.variant}, seed {cell.seed}: no {lack}: {plain(why)}")
    return cells


def _name_cell(cell: StoredCell, study: str, prefix: str) -> Cell:
    started = cell.state is not State.PENDING
    return Cell(
        study=study,
        name=plain(cell.variant),
        variant=prefix + label(cell.variant),
        seed=cell.seed,
        state=str(cell.state) if started else "missing",
        reason=plain(cell.reason),
        manifest=cell.manifest,
        folder=cell.folder if started else None,
        shown=started and cell.belongs_to_study and not cell.find_damage(*TABLES),
        is_run=is_run(cell.folder),
    )
