"""What the cells of an output folder are doing, from any process, at any time."""

from pathlib import Path
from typing import Any

from fpnprobe.study.folder import progress, study_folder


def status(out: str | Path) -> dict[str, Any]:
    """`{study, cells: [{variant, seed, state, iteration, iterations, ...}]}` of an output folder.

    `state` is pending, running, interrupted, failed, done or stale; `stage` is the step that a
    running cell is at; `reason` says why one failed. Nothing is changed or waited for.

    Raises:
        FpnProbeError: if the folder is not the output of a study.
    """
    result = study_folder.read(out)
    rows = []
    for cell in result.cells:
        state, reading = cell.state().value, progress.read(cell.folder)
        manifest = cell.manifest() or {}
        finished = state == "done"
        rows.append(
            {
                "variant": cell.variant,
                "seed": cell.seed,
                "state": state,
                "stage": reading.stage if reading is not None and state == "running" else state,
                "iteration": result.iterations
                if finished
                else (0 if reading is None or state == "stale" else reading.iteration),
                "iterations": result.iterations,
                "reason": str(manifest.get("reason", "")) if state == "failed" else "",
            }
        )
    return {"study": result.study.name, "cells": rows}


def lines(result: dict[str, Any]) -> str:
    """A status for a person."""
    rows = [
        f"{each['variant']} seed {each['seed']}: {each['stage']} "
        f"{each['iteration']}/{each['iterations']} {each['reason']}".rstrip()
        for each in result["cells"]
    ]
    return "\n".join([f"study {result['study']}", *rows])
