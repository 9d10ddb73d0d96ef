"""Which cells of a study a command line asks for: the others are not called missing."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder import study_folder
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output


def mark_selection(output: Output, selected: Sequence[Cell]) -> Output:
    """The same study, with the cells that are left out by `--variants` and `--seeds`.

    While another runner works in the folder, what it was asked for counts as well.
    """
    asked = {(cell.variant, cell.seed) for cell in selected}
    unasked = {(cell.variant, cell.seed) for cell in output.cells} - asked
    if unasked and any(cell.state() is State.RUNNING for cell in output.cells):
        with contextlib.suppress(FpnProbeError):  # no study yet
            unasked &= study_folder.read(output.out).unasked
    return replace(output, unasked=frozenset(unasked))


def list_unasked(output: Output) -> list[dict[str, Any]]:
    """`{variant, seed}` of the cells that were left out and never begun, in the study's order."""
    return [
        {"variant": cell.variant, "seed": cell.seed}
        for cell in output.cells
        if (cell.variant, cell.seed) in output.unasked and cell.state() is State.PENDING
    ]
