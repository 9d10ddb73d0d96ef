"""The steps of one cell, run to their end: a training, or damaged files made again."""

import contextlib
import shutil
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell import StoredCell, write_manifest
from fpnprobe.store.digests import digest_folder
from fpnprobe.study.folder import cell_key, manifest
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.mending import Damage, remove_damage, step_of
from fpnprobe.study.folder.progress import ProgressWriter
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner import failures
from fpnprobe.study.runner.cell_work import CellWork
from fpnprobe.study.runner.exit_codes import DISK_FULL, DONE, FAILED, STOPPED
from fpnprobe.study.runner.failures import Interrupted
from fpnprobe.study.runner.steps import STEPS, Step
from fpnprobe.study.runner.training import train_cell

if TYPE_CHECKING:
    from fpnprobe.mm.training.team import Team

    Join = Callable[[], AbstractContextManager[Team]]


def train_to_end(
    output: Output,
    cell: Cell,
    *,
    device: str,
    stop: threading.Event,
    join: "Join",
    notes: Sequence[str],
) -> int:
    """Train a cell and take its steps; write into its manifest how that ended."""
    for note in notes:
        print(note)  # noqa: T201 - the log
    progress = ProgressWriter(cell.folder, iterations=output.iterations)
    content = manifest.begin(
        cell,
        study=output.study,
        source=output.source,
        iterations=output.iterations,
        command=output.command,
        device=device,
    )
    content["notes"] = [*notes, *content["notes"]]
    try:
        write_manifest(cell.folder, content)
        progress(doing="importing torch and mmdet")
        with join() as team:
            work = CellWork(output, cell, device, content, progress, stop.is_set, team)
            train_cell(work)
            for step in STEPS:
                if not step.is_done(work):
                    progress(stage=step.name)
                    _run_step(step, work)
                    write_manifest(cell.folder, content)
        if not output.study.resources.keep_checkpoint:
            shutil.rmtree(cell.folder / "checkpoints", ignore_errors=True)
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        content |= {"state": "done", "finished": moment, "files": digest_folder(cell.folder)}
        progress(stage="done", iteration=output.iterations)
        write_manifest(cell.folder, content)
    except Interrupted:
        progress(stage="interrupted")
        return STOPPED
    except BaseException as error:
        traceback.print_exc()
        content |= {"state": "failed", "reason": failures.reason(error)}
        with contextlib.suppress(FpnProbeError, OSError):  # the disk may be full
            write_manifest(cell.folder, content)
            progress(stage="failed")
        return DISK_FULL if failures.is_disk_full(error) else FAILED
    return DONE


def remake_files(
    output: Output,
    cell: Cell,
    stored: StoredCell,
    damage: Damage,
    *,
    device: str,
    stop: threading.Event,
    join: "Join",
) -> int:
    """Make the damaged files of a finished cell again; its manifest says done all the while."""
    config = cell_key.cell_config(output.study, cell.variant, cell.seed)
    content = {**stored.manifest, "reason": "", "config": config}  # not what a file says
    notes = [f"{name} was {kind}: made again" for name, kind in damage.remade.items()]
    content["notes"] = [*notes, *(stored.manifest.get("notes") or [])]
    content |= {"timings": dict(content.get("timings") or {}), "holes": {}}
    progress = ProgressWriter(cell.folder, iterations=output.iterations)
    try:
        print(*notes, sep="\n")  # noqa: T201 - the log
        remove_damage(stored, damage)
        progress(doing="importing torch and mmdet")
        with join() as team:
            work = CellWork(output, cell, device, content, progress, stop.is_set, team)
            for step in STEPS:
                if step.name in damage.steps:
                    progress(stage=step.name)
                    step.run(work)
        now = digest_folder(cell.folder)
        remade_files = {name: entry for name, entry in now.items() if step_of(name) in damage.steps}
        content["files"] = {**(stored.manifest.get("files") or {}), **remade_files}
        progress(stage="done", iteration=output.iterations)
        write_manifest(cell.folder, content)
    except Interrupted:
        return STOPPED
    except BaseException as error:
        traceback.print_exc()
        with contextlib.suppress(FpnProbeError, OSError):
            write_manifest(cell.folder, {**stored.manifest, "reason": failures.reason(error)})
        return DISK_FULL if failures.is_disk_full(error) else FAILED
    return DONE


def _run_step(step: Step, work: CellWork) -> None:
    """Run a step; a picture that cannot be made becomes a hole of the trained cell."""
    try:
        step.run(work)
    except Exception as error:
        if not step.picture:
            raise
        traceback.print_exc()
        work.manifest["holes"][step.name] = failures.reason(error)
