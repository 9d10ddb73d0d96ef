"""The process of one cell: `python -m fpnprobe.study.runner.worker OUT --variant V --seed S`."""

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fpnprobe.store import locks
from fpnprobe.store.cell import LOG
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder import cell_content, study_folder
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.mending import find_damage
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner import machine
from fpnprobe.study.runner.cell_steps import remake_files, train_to_end
from fpnprobe.study.runner.exit_codes import BUSY, DONE, OTHER, STOPPED
from fpnprobe.study.runner.training import assist, holds_weights_of

if TYPE_CHECKING:
    from fpnprobe.mm.training.team import Team

    Join = Callable[[], AbstractContextManager[Team]]


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
        threading.Thread(target=_watch_parent, args=(stop_requested,), daemon=True).start()
    result = study_folder.read(options.out)
    variant_and_seed = (options.variant, options.seed)
    if options.key and options.key not in {
        cell.key for cell in result.cells if (cell.variant, cell.seed) == variant_and_seed
    }:
        return OTHER
    device = machine.check_device(options.device)
    return run(result, *variant_and_seed, device=device, stop=stop_requested)


def run(output: Output, variant: str, seed: int, *, device: str, stop: threading.Event) -> int:
    """Run one cell to its end, unless another process has it or it is done."""
    cell = output.cell(variant, seed)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _lead_cell(
            output, cell, device=device, stop=stop, join=partial(_join_team, output, device)
        )
    with _join_team(output, device) as team:
        if team.rank > 0:
            has_finished = assist(output, cell, team=team, device=device, stop=stop.is_set)
            return DONE if has_finished else STOPPED
        return _lead_cell(output, cell, device=device, stop=stop, join=lambda: nullcontext(team))


@contextlib.contextmanager
def _join_team(output: Output, device: str) -> Iterator["Team"]:
    """Prepare the device and join the processes of a cell."""
    from fpnprobe.mm.training.team import join_team

    with join_team(device, deterministic=output.study.schedule.deterministic) as team:
        yield team


def _lead_cell(
    output: Output, cell: Cell, *, device: str, stop: threading.Event, join: "Join"
) -> int:
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
            with _log_to_file(cell.folder / LOG):
                if damage.remade:
                    return remake_files(
                        output, cell, stored, damage, device=device, stop=stop, join=join
                    )
                return train_to_end(output, cell, device=device, stop=stop, join=join, notes=notes)
    except locks.Taken:
        return BUSY


@contextlib.contextmanager
def _log_to_file(file: Path) -> Iterator[None]:
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


def _watch_parent(stop_requested: threading.Event) -> None:
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
