"""The ways into a study that the command line has: open, run to the end, plan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.study import cells, launchers, loading, locks, output, run, source, variant
from fpnprobe.study.cells import Cell, State
from fpnprobe.study.display import Display
from fpnprobe.study.output import Output
from fpnprobe.study.planning import plan
from fpnprobe.study.spec import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a study on the command line.

    Attributes:
        study: the resolved study.
        out: its output folder.
        variants: names to run; empty for all.
        seeds: seeds to run; empty for all.
    """

    study: Study
    out: Path
    variants: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def selected(self, result: Output) -> tuple[Cell, ...]:
        """The cells that are asked for."""
        names = [each.name for each in self.study.variants]
        chosen = variant.select(self.variants or names, names, "variant")
        for seed in self.seeds:
            if seed not in self.study.seeds:
                raise FpnProbeError(
                    f"seed {seed} is not one of the study's seeds {list(self.study.seeds)}: add it "
                    "with --set seeds=..."
                )
        seeds = self.seeds or self.study.seeds
        return tuple(c for c in result.cells if c.variant in chosen and c.seed in seeds)


def request(
    study: str | Path,
    *,
    assignments: Sequence[str] = (),
    out: Path | None = None,
    variants: str = "",
    seeds: str = "",
) -> Request:
    """A request from the options of the command line.

    Raises:
        FpnProbeError: for anything wrong with them.
    """
    loaded = loading.load(study, list(assignments))
    try:
        wanted = tuple(int(each) for each in seeds.split(",") if each.strip())
    except ValueError:
        raise FpnProbeError(f"--seeds {seeds!r}: expected whole numbers, as 0,1,2") from None
    found = Request(
        study=loaded,
        out=out or Path("reports") / loaded.name,
        variants=tuple(each.strip() for each in variants.split(",") if each.strip()),
        seeds=wanted,
    )
    names = [each.name for each in loaded.variants]
    variant.select(found.variants or names, names, "variant")
    return found


def make_plan(asked: Request, *, jobs: int | None = None) -> dict[str, Any]:
    """What `run_all` would do; data may be generated, nothing else is written."""
    found = source.prepare(asked.study, out=asked.out, write=False)
    result = output.of(asked.study, source=found, out=asked.out)
    number = run.default_jobs(result, "cpu", jobs)
    return plan(result, asked.selected(result), jobs=number)


def run_all(
    asked: Request,
    *,
    jobs: int | None = None,
    device: str = "auto",
    launcher: str = "none",
    nproc: int = 1,
    keep_going: bool = True,
    fresh: bool = False,
    finish: Callable[[Path], Mapping[str, Any]],
) -> dict[str, Any]:
    """Run every missing cell, then the evidence and, by `finish(out)`, the report.

    Returns `{study, out, complete, cells: [{variant, seed, state, reason}], report}`.

    Raises:
        FpnProbeError: for bad data, an output folder that cannot be written, a wrong option.
        fpnprobe.study.run.Interrupted: on Ctrl-C, when all cells have saved their state.
    """
    schedule = asked.study.schedule
    launchers.check(launcher, nproc=nproc, batch=schedule.batch, accumulate=schedule.accumulate)
    output.check_writable(asked.out)
    device = run.check_device(device)
    result = output.of(
        asked.study, source=source.prepare(asked.study, out=asked.out), out=asked.out
    )
    selected = asked.selected(result)
    jobs = run.default_jobs(result, device, jobs)
    with Display(jobs=jobs, images=result.source.images[1]) as display:
        _write(result, display)
        if fresh:
            for cell in selected:
                output.forget(cell)
        tracked = run.run(
            result,
            selected,
            launch=launchers.Launch(device=device, nproc=nproc),
            jobs=jobs,
            keep_going=keep_going,
            watcher=display,
        )
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
    }


def lines(result: Mapping[str, Any]) -> str:
    """The result for a person."""
    rows = [
        f"{each['variant']} seed {each['seed']}: {each['state']} {each['reason']}".rstrip()
        for each in result["cells"]
    ]
    return "\n".join([*rows, *(str(path) for path in result["report"].values() if path)])


def exit_code(result: Mapping[str, Any]) -> int:
    """0 if every cell that was asked for is done, else 1."""
    return int(any(each["state"] != "done" for each in result["cells"]))


def _finish(
    result: Output, finish: Callable[[Path], Mapping[str, Any]], display: Display
) -> Mapping[str, Any]:
    """Evidence and report, one runner at a time; nothing while no cell is done."""
    from fpnprobe.evaluation import evidence

    if not any(cell.state() is State.DONE for cell in result.cells):
        return {}
    display.say("writing the report")
    with locks.held(result.out / "lock", wait=600):
        evidence.build(result.out)
        return finish(result.out)


def _write(result: Output, display: Display) -> None:
    """Write `study.json`, one runner at a time; tell what no longer belongs to the study."""
    with locks.held(result.out / "lock", wait=30):
        output.remove_temporaries(result.out.glob(f".{cells.STUDY}.*"))
        result.write()
        for title in output.archive_foreign(result):
            display.say(f"{title} is not in the study any more: moved to {result.out}/archive")
