"""What `run-study` would do: cells, what is done or stale and why, and what is left in time."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fpnprobe.config import loading
from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell import State
from fpnprobe.study.folder import cell_key
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.gaps import find_gaps
from fpnprobe.study.runner import estimate
from fpnprobe.study.runner.estimate import Remaining


def plan(result: Output, selected: Sequence[Cell], *, jobs: int) -> dict[str, Any]:
    """Rows for the selected cells and an estimate; nothing is written.

    The estimate uses the speeds of cells that are done or stale in the folder, and is None where
    there are none.
    """
    rows, todo, known, tails = [], [], {}, []
    for cell in selected:
        state, manifest = cell.state(), cell.manifest() or {}
        timings = manifest.get("timings", {})
        if timings.get("per_iteration_s"):
            known[cell.variant] = timings["per_iteration_s"]
        if timings.get("evaluate_s"):
            tails.append(timings["evaluate_s"])
        changed = _changed(result, cell, manifest) if state is State.STALE else []
        rows.append(
            {
                "variant": cell.variant,
                "seed": cell.seed,
                "state": state.value,
                "iterations": result.iterations,
                "key": cell.key[:16],
                "changed": changed,
                "code": str(manifest.get("code", "")),
                "reason": str(manifest.get("reason", "")) if state is State.FAILED else "",
            }
        )
        if state is not State.DONE:
            todo.append(Remaining(cell.variant, result.iterations))
    left = estimate.seconds_left(
        todo, jobs=jobs, images=result.source.images[1], known=known, tails=tails
    )
    return {
        "study": result.study.name,
        "question": result.study.question,
        "out": str(result.out),
        "cells": rows,
        "gaps": find_gaps(result, selected),
        "missing": len(todo),
        "code": cell_key.code_version(),
        "seconds": left,
    }


def _changed(result: Output, cell: Cell, manifest: dict[str, Any]) -> list[str]:
    """Why a cell is stale."""
    now = cell_key.cell_config(result.study, cell.variant, cell.seed)
    before = _with_defaults(manifest.get("config", {}), cell)
    for content in (now, before):
        cell_key.drop_unkeyed(content)
    found = cell_key.difference(before, now)
    if manifest.get("data", {}).get("root_hash") != result.source.root_hash:
        found.append("data: other images or annotations")
    return found or ["the version of the results (see fpnprobe.results_version)"]


def _with_defaults(config: dict[str, Any], cell: Cell) -> dict[str, Any]:
    """A stored configuration with the keys that came later, which stood at their defaults."""
    try:
        return cell_key.cell_config(loading.validate(config), cell.variant, cell.seed)
    except (FpnProbeError, StopIteration):
        return config  # of settings that are no more: every difference is told


def lines(result: dict[str, Any]) -> str:
    """A plan for a person."""
    rows = []
    for each in result["cells"]:
        why = "; ".join(each["changed"]) or each["reason"]
        rows.append(
            f"{each['variant']} seed {each['seed']}: {each['state']}, "
            f"{each['iterations']} iterations" + (f" ({why})" if why else "")
        )
    older = Counter(
        each["code"]
        for each in result["cells"]
        if each["state"] == State.DONE and each["code"] not in ("", result["code"])
    )
    told = [f"will be missing: {gap}" for gap in result["gaps"]]
    told += [
        f"code changed since {count} of the cells were done ({code} -> {result['code']}), results "
        "version the same"
        for code, count in older.items()
    ]
    if result["missing"]:
        cost = estimate.text(result["seconds"])
        rows.append(f"{result['missing']} of {len(rows)} cells to run, {cost}")
    else:
        rows.append("nothing to run")
    return "\n".join([f"study {result['study']} in {result['out']}", *rows, *told])
