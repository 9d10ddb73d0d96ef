"""The process of one cell: `python -m fpnprobe.study.runner.worker OUT --variant V --seed S`."""

import argparse
import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import locks
from fpnprobe.store.cell import LOG, StoredCell, write_manifest
from fpnprobe.store.cell_state import State
from fpnprobe.store.digests import digest_folder
from fpnprobe.study.folder import cell_content, cell_key, manifest, study_folder
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.mending import Damage, find_damage, remove_damage, step_of
from fpnprobe.study.folder.progress import ProgressWriter
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner import failures, machine
from fpnprobe.study.runner.cell_work import CellWork
from fpnprobe.study.runner.failures import Interrupted
from fpnprobe.study.runner.steps import STEPS, Step
from fpnprobe.study.runner.training import assist, holds_weights_of, train_cell

if TYPE_CHECKING:
    from fpnprobe.mm.training.team import Team

    Join = Callable[[], AbstractContextManager[Team]]

DONE, FAILED, DISK_FULL, BUSY, OTHER, STOPPED = 0, 1, 74, 75, 78, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the cell that the arguments name; return an exit code of this module."""
    parser = argparse.ArgumentParser(prog="fpnprobe.study.runner.worker")
    parser.add_argument("out", type=Path)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--key", default="", help="of the cell; another one is refused")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--watch-stdin", action="store_true", help="stop when stdin is closed")
    options = parser.parse_args(arguments)
    stop_requested = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_requested.set())
    if options.watch_stdin:
        threading.Thread(target=_watch, args=(stop_requested,), daemon=True).start()
    result = study_folder.read(options.out)
    variant_and_seed = (options.variant, options.seed)
    if options.key and options.key not in {
        cell.key for cell in result.cells if (cell.variant, cell.seed) == variant_and_seed
    }:
        return OTHER
    device = machine.check_device(options.device)
    return run(result, *variant_and_seed, device=device, stop=stop_requested)


def run(result: Output, variant: str, seed: int, *, device: str, stop: threading.Event) -> int:
    """Run one cell to its end, unless another process has it or it is done."""
    cell = result.cell(variant, seed)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _lead(result, cell, device=device, stop=stop, join=partial(_join, result, device))
    with _join(result, device) as team:
        if team.rank > 0:
            has_finished = assist(result, cell, team=team, device=device, stop=stop.is_set)
            return DONE if has_finished else STOPPED
        return _lead(result, cell, device=device, stop=stop, join=lambda: nullcontext(team))


@contextlib.contextmanager
def _join(result: Output, device: str) -> Iterator["Team"]:
    """Prepare the device and join the processes of a cell."""
    from fpnprobe.mm.training.team import join_team

    with join_team(device, deterministic=result.study.schedule.deterministic) as team:
        yield team


def _lead(result: Output, cell: Cell, *, device: str, stop: threading.Event, join: "Join") -> int:
    """Run a cell as its only process, or as the one that the others follow."""
    try:
        with locks.held(cell.lock):
            notes = cell_content.settle(
                cell, is_ours=lambda stored: holds_weights_of(stored, cell.key)
            )
            stored = cell.stored(lock_is_ours=True)
            damage = find_damage(stored)
            if stored.state is State.DONE and not damage.remade:
                return DONE  # what is lost, the runner tells
            with _logged(cell.folder / LOG):
                if damage.remade:
                    return _mend(result, cell, stored, damage, device=device, stop=stop, join=join)
                return _guarded(result, cell, device=device, stop=stop, join=join, notes=notes)
    except locks.Taken:
        return BUSY


def _guarded(
    result: Output,
    cell: Cell,
    *,
    device: str,
    stop: threading.Event,
    join: "Join",
    notes: Sequence[str],
) -> int:
    for note in notes:
        print(note)  # noqa: T201 - the log
    progress = ProgressWriter(cell.folder, iterations=result.iterations)
    content = manifest.begin(
        cell,
        study=result.study,
        source=result.source,
        iterations=result.iterations,
        command=result.command,
        device=device,
    )
    content["notes"] = [*notes, *content["notes"]]
    try:
        write_manifest(cell.folder, content)
        with join() as team:
            work = CellWork(result, cell, device, content, progress, stop.is_set, team)
            train_cell(work)
            for step in STEPS:
                if not step.is_done(work):
                    progress(stage=step.name)
                    _run_step(step, work)
                    write_manifest(cell.folder, content)
        if not result.study.resources.keep_checkpoint:
            shutil.rmtree(cell.folder / "checkpoints", ignore_errors=True)
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        content |= {"state": "done", "finished": moment, "files": digest_folder(cell.folder)}
        progress(stage="done", iteration=result.iterations)
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


def _mend(
    result: Output,
    cell: Cell,
    stored: StoredCell,
    damage: Damage,
    *,
    device: str,
    stop: threading.Event,
    join: "Join",
) -> int:
    """Make the damaged files of a finished cell again; its manifest says done all the while."""
    config = cell_key.cell_config(result.study, cell.variant, cell.seed)
    content = {**stored.manifest, "reason": "", "config": config}  # not what a file says
    notes = [f"{name} was {kind}: made again" for name, kind in damage.remade.items()]
    content["notes"] = [*notes, *(stored.manifest.get("notes") or [])]
    content |= {"timings": dict(content.get("timings") or {}), "holes": {}}
    progress = ProgressWriter(cell.folder, iterations=result.iterations)
    try:
        print(*notes, sep="\n")  # noqa: T201 - the log
        remove_damage(stored, damage)
        with join() as team:
            work = CellWork(result, cell, device, content, progress, stop.is_set, team)
            for step in STEPS:
                if step.name in damage.steps:
                    progress(stage=step.name)
                    step.run(work)
        now = digest_folder(cell.folder)
        remade_files = {name: entry for name, entry in now.items() if step_of(name) in damage.steps}
        content["files"] = {**(stored.manifest.get("files") or {}), **remade_files}
        progress(stage="done", iteration=result.iterations)
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


@contextlib.contextmanager
def _logged(file: Path) -> Iterator[None]:
    """Send everything that anybody prints in this process to the cell's log."""
    sys.stdout.flush()
    sys.stderr.flush()
    former_handles = os.dup(1), os.dup(2)
    with (
        file.open("a", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        os.dup2(log.fileno(), 1)  # what libraries write below Python
        os.dup2(log.fileno(), 2)
        print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} pid {os.getpid()}")  # noqa: T201
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            for number, handle in enumerate(former_handles, start=1):
                os.dup2(handle, number)
                os.close(handle)


def _watch(stop_requested: threading.Event) -> None:
    """Stop when the process that started us is gone, which closes our stdin."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 1):
            pass
    stop_requested.set()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is written; taking the frameworks apart would only keep Ctrl-C waiting
