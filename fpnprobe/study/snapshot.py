"""The state of the cells of an output folder, from any process, at any time."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fpnprobe.store.cell import StoredCell
from fpnprobe.store.cell_state import NOT_ASKED_FOR
from fpnprobe.store.runs import find_runs, read_runs
from fpnprobe.store.study import STUDY, StoredStudy
from fpnprobe.study.folder import progress, study_folder
from fpnprobe.study.folder.stage_words import StageWords


def status(out: str | Path) -> dict[str, Any]:
    """`{study, cells: [{variant, seed, state, iteration, iterations, ...}]}` of an output folder.

    `state` is pending, running, interrupted, failed, done, stale or damaged; `stage` is the step
    that a running cell is at, `doing` what it does there in words; `reason` says why one failed.
    Nothing is changed or waited for.

    Raises:
        FpnProbeError: If the folder is neither the output of a study nor has trainings with a
            probe in it.
    """
    if not (Path(out) / STUDY).exists():
        runs = list(find_runs(out))
        if runs:
            return _describe_runs(read_runs(runs), name=Path(out).absolute().name)
    if not Path(out).exists():
        StoredStudy.read(out)  # says so, with the nearest name
    result = study_folder.read(out)
    rows, words = [], StageWords.of(result)
    for cell in result.cells:
        state, reading = cell.state().value, progress.read(cell.folder)
        manifest = cell.manifest() or {}
        finished = state == "done"
        stage = reading.stage if reading is not None and state == "running" else state
        rows.append(
            {
                "variant": cell.variant,
                "seed": cell.seed,
                "state": state,
                "stage": stage,
                "doing": NOT_ASKED_FOR
                if state == "pending" and (cell.variant, cell.seed) in result.unasked
                else words.describe(stage, "" if reading is None else reading.doing),
                "iteration": result.iterations
                if finished
                else (0 if reading is None or state == "stale" else reading.iteration),
                "iterations": result.iterations,
                "reason": str(manifest.get("reason") or "") if state == "failed" else "",
            }
        )
    return {"study": result.study.name, "cells": rows}


def follow(out: str | Path, *, every: float | None) -> Iterator[dict[str, Any]]:
    """The status now, and again after so many seconds, as long as a cell runs or waits.

    A status that says the same as the one before is not repeated; None asks once.
    """
    before: dict[str, Any] = {}
    while True:
        result = status(out)
        if result != before:
            yield result
        before = result
        states = {cell["state"] for cell in result["cells"]}
        if every is None or "running" not in states:
            return
        time.sleep(every)


def _describe_runs(cells: Sequence[StoredCell], *, name: str) -> dict[str, Any]:
    """The same of trainings that no study started."""
    rows = []
    for cell in cells:
        iteration = cell.manifest.get("iteration")
        rows.append(
            {
                "variant": cell.variant,
                "seed": cell.seed,
                "state": cell.state.value,
                "stage": cell.state.value,
                "iteration": iteration if isinstance(iteration, int) else 0,
                "iterations": cell.manifest.get("iterations"),
                "reason": cell.reason,
            }
        )
    return {"study": name, "cells": rows}


def lines(result: dict[str, Any]) -> str:
    """A status for a person."""
    cells = result["cells"]
    rows = [f"{cell['variant']} seed {cell['seed']}: {_describe_cell(cell)}" for cell in cells]
    return "\n".join([f"study {result['study']}", *rows])


def _describe_cell(cell: dict[str, Any]) -> str:
    """What a cell does, how far it is, and why it failed."""
    doing = cell.get("doing") or cell["stage"]
    if doing == NOT_ASKED_FOR:
        return NOT_ASKED_FOR
    return f"{doing} {cell['iteration']}/{cell['iterations'] or '?'} {cell['reason']}".rstrip()
