"""The ways into a study that the command line has: plan it, run it to the end."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.store import locks
from fpnprobe.store.cell import State
from fpnprobe.store.study import STUDY
from fpnprobe.study.folder import dataset, study_folder
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.mending import find_damage
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.gaps import find_gaps
from fpnprobe.study.models import check_models
from fpnprobe.study.planning import plan
from fpnprobe.study.request import Request, differences
from fpnprobe.study.runner import command, launchers, local, machine, slurm
from fpnprobe.study.runner.display import Display


def make_plan(asked: Request, *, jobs: int | None = None) -> dict[str, Any]:
    """What `run_all` would do; data may be generated, nothing else is written."""
    found = dataset.prepare(asked.study, out=asked.out, write=False)
    result = study_folder.of(asked.study, source=found, out=asked.out)
    check_models(result, asked.selected(result))
    number = machine.default_jobs(result, "cpu", jobs)
    return plan(result, asked.selected(result), jobs=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How the cells of a study run.

    Attributes:
        jobs: cells at the same time; None for what the study and the machine allow.
        device: "auto", "cpu" or "cuda".
        launcher: "none", "pytorch" (torchrun), "slurm" or "command".
        nproc: processes per cell and node; under Slurm None for as many as it has GPUs.
        template: the command that starts a cell, of launcher "command".
        keep_going: whether the others go on when a cell fails.
        fresh: whether what the cells have is deleted first.
    """

    jobs: int | None = None
    device: str = "auto"
    launcher: str = "none"
    nproc: int | None = None
    template: str | None = None
    keep_going: bool = True
    fresh: bool = False


def run_all(
    asked: Request, how: Running, *, finish: Callable[[Path], Mapping[str, Any]]
) -> dict[str, Any]:
    """Run every missing cell, then the evidence and, by `finish(out)`, the report.

    Returns `{study, out, complete, cells: [{variant, seed, state, reason}], report,
    contradicted}`, the last being the claims that the study contradicts.

    Raises:
        FpnProbeError: for bad data, an output folder that cannot be written, a wrong option.
        fpnprobe.study.runner.local.Interrupted: on Ctrl-C, when all cells have saved their state.
    """
    schedule, resources = asked.study.schedule, asked.study.resources
    nproc = how.nproc
    if nproc is None:
        by_slurm = how.launcher == "slurm" and how.device != "cpu"
        nproc = resources.gpus_per_cell if by_slurm else 1
    launchers.check(
        how.launcher,
        nproc=nproc,
        nodes=resources.nodes,
        batch=schedule.batch,
        accumulate=schedule.accumulate,
        template=how.template,
    )
    study_folder.check_writable(asked.out)
    away = how.launcher in ("slurm", "command")
    if not away:  # this machine need not have the device of the jobs
        how = replace(how, device=machine.check_device(how.device))
    found = dataset.prepare(asked.study, out=asked.out)
    result = study_folder.of(asked.study, source=found, out=asked.out)
    selected = asked.selected(result)
    if not asked.out_chosen:
        _check_default_folder(selected, asked.out)
    check_models(result, selected)
    jobs = machine.default_jobs(result, how.device, how.jobs, nproc=nproc)
    if away:
        jobs = how.jobs or max(1, len(selected))
    via = slurm.executor(result, jobs=how.jobs) if how.launcher == "slurm" else None
    with Display(jobs=jobs, images=found.images[1]) as display:
        for line in [] if asked.repeated is None else differences(asked.repeated, result):
            display.say(f"differs from the manifest: {line}")
        for line in find_gaps(result, selected):
            display.say(f"will be missing: {line}")
        _write(result, display)
        try:
            if how.fresh:
                for cell in selected:
                    study_folder.forget(cell)
            _tell_damage(selected, display)
            if any(cell.state() is not State.DONE for cell in selected):
                dataset.parse_once(found)
                if not away:
                    dataset.decode(found, result.study)
            launch = launchers.Launch(device=how.device, nproc=nproc, jobs=1 if away else jobs)
            if how.template is not None:
                template = command.Template(text=how.template, launch=launch)
                tracked = command.run(
                    result, selected, template=template, jobs=jobs, watcher=display
                )
            elif via is not None:
                tracked = slurm.run(result, selected, launch=launch, via=via, watcher=display)
            else:
                tracked = local.run(
                    result,
                    selected,
                    launch=launch,
                    jobs=jobs,
                    keep_going=how.keep_going,
                    watcher=display,
                )
        except KeyboardInterrupt:
            display.say("stopped, nothing is lost; to go on, run the same command again:")
            display.say(result.command)
            raise
        report = _finish(result, finish, display)
    return {
        "study": asked.study.name,
        "out": str(asked.out),
        "complete": all(cell.state() is State.DONE for cell in result.cells),
        "cells": [
            {
                "variant": each.cell.variant,
                "seed": each.cell.seed,
                "state": each.state.value,
                "reason": each.reason,
            }
            for each in tracked
        ],
        "report": dict(report),
        "contradicted": _contradicted(report),
    }


def _check_default_folder(selected: Sequence[Cell], out: Path) -> None:
    """Refuse to replace finished cells in a folder that nobody named, such as a stored report.

    Raises:
        FpnProbeError: with the two ways to go on.
    """
    stale = [cell for cell in selected if cell.state() is State.STALE]
    finished = [cell for cell in stale if (cell.manifest() or {}).get("state") == "done"]
    if finished:
        raise FpnProbeError(
            f"{out} holds {len(finished)} finished cells that this study would train again "
            f"({finished[0].title}, ...; `fpnprobe plan` says why): train into another folder with "
            f"--out {out.parent / 'mine'}, or replace them with --out {out}"
        )


def lines(result: Mapping[str, Any]) -> str:
    """The result for a person."""
    rows = [
        f"{each['variant']} seed {each['seed']}: {each['state']} {each['reason']}".rstrip()
        for each in result["cells"]
    ]
    rows += [f"contradicted: {statement}" for statement in result["contradicted"]]
    report = result["report"]
    told = [str(report[key]) for key in ("headline", "summary") if report.get(key)]
    if report.get("html"):
        told.append(f"open {Path(report['html']).resolve().as_uri()}")
    told += [str(report[key]) for key in ("pdf", "claims", "rules") if report.get(key)]
    return "\n".join([*rows, *told, *([report["diagnosis"]] if report.get("diagnosis") else [])])


def exit_code(result: Mapping[str, Any], *, fail_on_claims: bool = False) -> int:
    """0 if every cell that was asked for is done, and no claim contradicted if that counts.

    3 if a cell failed because the disk is full, which is the machine's fault.
    """
    if any(each["reason"].startswith("disk full") for each in result["cells"]):
        return EnvironmentProblem.exit_code
    failed = any(each["state"] != "done" for each in result["cells"])
    return int(failed or (fail_on_claims and bool(result["contradicted"])))


def _tell_damage(selected: Sequence[Cell], display: Display) -> None:
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


def _contradicted(report: Mapping[str, Any]) -> list[str]:
    """Statements that the study contradicts, from the report's `claims.json`."""
    if not report.get("claims"):
        return []
    content = json.loads(Path(report["claims"]).read_text())
    claims = [*content["claims"], *content.get("causes", {}).get("claims", [])]
    return [each["statement"] for each in claims if each["verdict"] == "contradicted"]


def _finish(
    result: Output, finish: Callable[[Path], Mapping[str, Any]], display: Display
) -> Mapping[str, Any]:
    """Evidence and report, one runner at a time; nothing while no cell is done."""
    from fpnprobe.evidence import build

    if not any(cell.state() is State.DONE for cell in result.cells):
        return {}
    display.say("writing the report")
    with locks.held(result.out / "lock", wait=600):
        build.build(result.out)
        return finish(result.out)


def _write(result: Output, display: Display) -> None:
    """Write `study.json`, one runner at a time; tell what no longer belongs to the study."""
    with locks.held(result.out / "lock", wait=30):
        study_folder.remove_temporaries(result.out.glob(f".{STUDY}.*"))
        result.write()
        for title in study_folder.archive_foreign(result):
            display.say(f"{title} is not in the study any more: moved to {result.out}/archive")
