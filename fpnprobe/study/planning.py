"""The plan of `run-study`: its cells, which are done or stale and why, and the time left."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fpnprobe.config import loading
from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder import cell_key
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.gaps import find_gaps
from fpnprobe.study.runner import estimate
from fpnprobe.study.runner.estimate import Remaining


def plan(output: Output, selected: Sequence[Cell], *, jobs: int) -> dict[str, Any]:
    """Return the rows for the selected cells and an estimate; nothing is written.

    The estimate uses the speeds of cells that are done or stale in the folder, and is None where
    there are none.
    """
    rows, todo, speeds, tails = [], [], {}, []
    for cell in selected:
        state, manifest = cell.state(), cell.manifest() or {}
        timings = manifest.get("timings") or {}
        if timings.get("per_iteration_s"):
            speeds[cell.variant] = timings["per_iteration_s"]
        if timings.get("evaluate_s"):
            tails.append(timings["evaluate_s"])
        changed = list_changes(output, cell, manifest) if state is State.STALE else []
        rows.append(
            {
                "variant": cell.variant,
                "seed": cell.seed,
                "state": state.value,
                "iterations": output.iterations,
                "key": cell.key[:16],
                "changed": changed,
                "code": str(manifest.get("code") or ""),
                "reason": str(manifest.get("reason") or "") if state is State.FAILED else "",
            }
        )
        if state is not State.DONE:
            todo.append(Remaining(cell.variant, output.iterations))
    left = estimate.seconds_left(
        todo, jobs=jobs, images=output.source.images[1], known=speeds, tails=tails
    )
    return {
        "study": output.study.name,
        "question": output.study.question,
        "out": str(output.out),
        "cells": rows,
        "gaps": find_gaps(output, selected),
        "missing": len(todo),
        "code": cell_key.code_version(),
        "seconds": left,
    }


def list_changes(output: Output, cell: Cell, manifest: dict[str, Any]) -> list[str]:
    """List the changes that make a cell stale."""
    now = cell_key.cell_config(output.study, cell.variant, cell.seed)
    before = _with_defaults(manifest.get("config") or {}, cell)
    for content in (now, before):
        cell_key.drop_unkeyed(content)
    changes = cell_key.difference(before, now)
    if (manifest.get("data") or {}).get("root_hash") != output.source.root_hash:
        changes.append("data: other images or annotations")
    return changes or ["the version of the results (see fpnprobe.results_version)"]


def _with_defaults(config: dict[str, Any], cell: Cell) -> dict[str, Any]:
    """A stored configuration with the keys that came later, which stood at their defaults."""
    try:
        return cell_key.cell_config(loading.validate(config), cell.variant, cell.seed)
    except (FpnProbeError, StopIteration):
        return config  # of settings that are no more: every difference is told


def lines(result: dict[str, Any]) -> str:
    """A plan for a person."""
    rows = []
    for cell in result["cells"]:
        why = "; ".join(cell["changed"]) or cell["reason"]
        rows.append(
            f"{cell['variant']} seed {cell['seed']}: {cell['state']}, "
            f"{cell['iterations']} iterations" + (f" ({why})" if why else "")
        )
    older = Counter(
        cell["code"]
        for cell in result["cells"]
        if cell["state"] == State.DONE and cell["code"] not in ("", result["code"])
    )
    notes = [f"will be missing: {gap}" for gap in result["gaps"]]
    notes += [
        f"code changed since {count} of the cells were done ({code} -> {result['code']}), results "
        "version the same"
        for code, count in older.items()
    ]
    if result["missing"]:
        seconds = result["seconds"]
        cost = "time unknown until one has run" if seconds is None else estimate.text(seconds)
        rows.append(f"{result['missing']} of {len(rows)} cells to run, {cost}")
    else:
        rows.append("nothing to run")
    return "\n".join([f"study {result['study']} in {result['out']}", *rows, *notes])
