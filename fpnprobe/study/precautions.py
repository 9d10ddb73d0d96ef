"""Precautions before the cells of a study run: what is refused, and what is told first."""

from collections.abc import Sequence
from pathlib import Path

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import locks
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.mending import find_damage
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.planning import list_changes
from fpnprobe.study.runner.display import Display


def refuse_default_folder(selected: Sequence[Cell], out: Path) -> None:
    """Refuse to replace finished cells in a folder that nobody named, such as a stored report.

    Raises:
        FpnProbeError: With the two ways to go on.
    """
    stale = [cell for cell in selected if cell.state() is State.STALE]
    finished = [cell for cell in stale if (cell.manifest() or {}).get("state") == "done"]
    if finished:
        raise FpnProbeError(
            f"{out} holds {len(finished)} finished cells that this study would train again "
            f"({finished[0].title}, ...; `fpnprobe plan` says why): train into another folder with "
            f"--out {out.parent / 'mine'}, or replace them with --out {out}"
        )


def tell_stale(output: Output, selected: Sequence[Cell], display: Display) -> None:
    """Say which finished cells are trained anew, why, and where what they had goes."""
    for cell in selected:
        manifest = cell.manifest() or {}
        if cell.state() is State.STALE and manifest.get("state") == "done":
            why = "; ".join(list_changes(output, cell, manifest))
            display.say(
                f"{cell.title}: trained anew ({why}); what it had goes into {output.out}/archive"
            )


def tell_damage(selected: Sequence[Cell], display: Display) -> None:
    """Say which files of the cells are damaged, and what becomes of them."""
    for cell in selected:
        stored = cell.stored()
        if stored.state is State.DAMAGED:
            display.say(
                f"{cell.title}: {stored.reason}: nothing is deleted; what is there goes on where "
                "its weights tell that it is this cell's, else into the archive"
            )
        for name, kind in find_damage(stored).remade.items():
            display.say(f"{cell.title}: {name} is {kind}: made again, without training")
    local = locks.find_local_only(selected[0].out) if selected else ""
    if local:
        display.say(f"locks on {local} hold on this host only: run the study from one host")
