"""The ways into a study that the command line has: plan it, run it to the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fpnprobe.store import locks
from fpnprobe.store.cell_state import State
from fpnprobe.store.study import STUDY
from fpnprobe.study.folder import cell_content, dataset, study_folder
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.stage_words import StageWords
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.gaps import find_gaps
from fpnprobe.study.models import check_models
from fpnprobe.study.planning import plan
from fpnprobe.study.precautions import refuse_default_folder, tell_damage, tell_stale
from fpnprobe.study.request import Request, differences
from fpnprobe.study.run_result import read_contradicted
from fpnprobe.study.runner import command, launchers, local, machine, slurm, slurm_jobs
from fpnprobe.study.runner.display import Display, say
from fpnprobe.study.selection import list_unasked, mark_selection


def make_plan(request: Request, *, jobs: int | None = None) -> dict[str, Any]:
    """Plan what `run_all` would do; data may be generated, nothing else is written."""
    source = dataset.prepare(request.study, out=request.out, write=False)
    output = study_folder.of(request.study, source=source, out=request.out)
    check_models(output, request.selected(output))
    number = machine.default_jobs(output, "cpu", jobs)
    return plan(output, request.selected(output), jobs=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The options by which the cells of a study run.

    Attributes:
        jobs: Cells at the same time; None for what the study and the machine allow.
        device: "auto", "cpu" or "cuda".
        launcher: "none", "pytorch" (torchrun), "slurm" or "command".
        nproc: Processes per cell and node; under Slurm None for as many as it has GPUs.
        template: The command that starts a cell, of launcher "command".
        keep_going: Whether the others go on when a cell fails.
        fresh: Whether what the cells have is deleted first.
    """

    jobs: int | None = None
    device: str = "auto"
    launcher: str = "none"
    nproc: int | None = None
    template: str | None = None
    keep_going: bool = True
    fresh: bool = False


def check_options(request: Request, options: Running) -> int:
    """Check what can be known of the options without torch; return the processes of a cell.

    Raises:
        FpnProbeError: For a wrong option.
    """
    schedule, resources = request.study.schedule, request.study.resources
    nproc = options.nproc
    if nproc is None:
        by_slurm = options.launcher == "slurm" and options.device != "cpu"
        nproc = resources.gpus_per_cell if by_slurm else 1
    launchers.check(
        options.launcher,
        nproc=nproc,
        nodes=resources.nodes,
        batch=schedule.batch,
        accumulate=schedule.accumulate,
        template=options.template,
    )
    machine.check_device_name(options.device)
    return nproc


def run_all(
    request: Request, options: Running, *, finish: Callable[[Path], Mapping[str, Any]]
) -> dict[str, Any]:
    """Run every missing cell, then the evidence and, by `finish(out)`, the report.

    Returns `{study, out, complete, cells: [{variant, seed, state, reason}], not_asked_for, report,
    contradicted}`, the last being the claims that the study contradicts.

    Raises:
        FpnProbeError: For bad data, an output folder that cannot be written, a wrong option.
        fpnprobe.study.runner.local.Interrupted: On Ctrl-C, when all cells have saved their state.
    """
    nproc = check_options(request, options)
    away = options.launcher in ("slurm", "command")
    if not away:  # this machine need not have the device of the jobs
        options = replace(options, device=machine.check_device(options.device))
    with study_folder.made(request.out):
        output, selected = _prepare(request)
        by_slurm = options.launcher == "slurm"
        via = slurm_jobs.executor(output, jobs=options.jobs) if by_slurm else None
        say(f"study {request.study.name} in {request.out}: checking its models")
        check_models(output, selected)
    jobs = machine.default_jobs(output, options.device, options.jobs, nproc=nproc)
    if away:
        jobs = options.jobs or max(1, len(selected))
    with Display(jobs=jobs, words=StageWords.of(output)) as display:
        for line in [] if request.repeated is None else differences(request.repeated, output):
            display.say(f"differs from the manifest: {line}")
        for line in find_gaps(output, selected):
            display.say(f"will be missing: {line}")
        output = _write_study(output, selected, display)
        try:
            if options.fresh:
                for cell in selected:
                    cell_content.forget(cell)
            tell_damage(selected, display)
            tell_stale(output, selected, display)
            if any(cell.state() is not State.DONE for cell in selected):
                dataset.parse_once(output.source)
                if not away:
                    dataset.decode(output.source, output.study)
            launch = launchers.Launch(device=options.device, nproc=nproc, jobs=1 if away else jobs)
            if options.template is not None:
                template = command.Template(text=options.template, launch=launch)
                tracked = command.run(
                    output, selected, template=template, jobs=jobs, watcher=display
                )
            elif via is not None:
                tracked = slurm.run(output, selected, launch=launch, via=via, watcher=display)
            else:
                tracked = local.run(
                    output,
                    selected,
                    launch=launch,
                    jobs=jobs,
                    keep_going=options.keep_going,
                    watcher=display,
                )
        except KeyboardInterrupt:
            display.say("stopped, nothing is lost; to go on, run the same command again:")
            display.say(output.command)
            raise
        report = _write_report(output, finish, display)
    return {
        "study": request.study.name,
        "out": str(request.out),
        "complete": all(cell.state() is State.DONE for cell in output.cells),
        "cells": [
            {
                "variant": cell_run.cell.variant,
                "seed": cell_run.cell.seed,
                "state": cell_run.state.value,
                "reason": cell_run.reason,
            }
            for cell_run in tracked
        ],
        "not_asked_for": list_unasked(output),
        "report": dict(report),
        "contradicted": read_contradicted(report),
    }


def _prepare(request: Request) -> tuple[Output, tuple[Cell, ...]]:
    """The study with its data in its folder, and the cells asked for, before anything is trained.

    Raises:
        FpnProbeError: For data or an output folder that cannot be used.
    """
    source = dataset.prepare(request.study, out=request.out)
    output = study_folder.of(request.study, source=source, out=request.out)
    selected = request.selected(output)
    if not request.out_chosen:
        refuse_default_folder(selected, request.out)
    return output, selected


def _write_report(
    output: Output, finish: Callable[[Path], Mapping[str, Any]], display: Display
) -> Mapping[str, Any]:
    """Write evidence and report, one runner at a time; nothing while no cell is done."""
    from fpnprobe.evidence import build

    if not any(cell.state() is State.DONE for cell in output.cells):
        return {}
    with locks.held(output.out / "lock", wait=600):
        display.say("comparing the variants")
        build.build(output.out)
        display.say("writing the report")
        return finish(output.out)


def _write_study(output: Output, selected: Sequence[Cell], display: Display) -> Output:
    """Write `study.json`, one runner at a time; tell what no longer belongs to the study."""
    with locks.held(output.out / "lock", wait=30):
        cell_content.remove_temporaries(output.out.glob(f".{STUDY}.*"))
        output = mark_selection(output, selected)
        output.write()
        for title in cell_content.archive_foreign(output):
            display.say(f"{title} is not in the study any more: moved to {output.out}/archive")
    return output
