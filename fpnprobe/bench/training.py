"""Times the training of a cell against mmdet's stock runner settings on the same config."""

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer


def run(
    study: str | Path,
    *,
    variant: str | None = None,
    assignments: tuple[str, ...] = (),
    iterations: int = 30,
    warmup: int = 5,
    rounds: int = 3,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train a cell of a study by our settings and by mmdet's, by turns, in this process.

    Both train without a probe. See `fpnprobe.mm.bench.training.compare` for what is returned, next
    to the settings that differ.

    Args:
        study: Study folder or file.
        variant: Name of the variant, the last of the study by default.
        assignments: Changes to the study, as "schedule.batch=2".
        iterations: Iterations of a round.
        warmup: Of those, how many are left out at the beginning.
        rounds: Rounds of each.
        device: "cpu" or "cuda".
    """
    from fpnprobe.config import loading
    from fpnprobe.study.runner.machine import check_device
    from fpnprobe.suggestions import select_names

    changes = [*assignments, "probe.mode=None", f"schedule.iterations={iterations}"]
    study_settings = loading.load(study, changes)  # what is wrong is told before mmdet is imported
    names = [entry.name for entry in study_settings.variants]
    (name,) = select_names([variant or names[-1]], names, "variant")
    device = check_device(device)
    from fpnprobe.mm.bench.training import compare, measure_probe, with_probe
    from fpnprobe.mm.training.device import set_threads_and_device
    from fpnprobe.study.folder import dataset, study_folder
    from fpnprobe.study.runner.training import training as task_of

    set_threads_and_device(device, deterministic=study_settings.schedule.deterministic)
    with tempfile.TemporaryDirectory() as folder:
        result = study_folder.of(
            study_settings, source=dataset.prepare(study_settings, out=folder), out=folder
        )
        cell = result.cell(name, study_settings.seeds_of(name)[0])
        task = task_of(result, cell, device=device)
        measured = compare(replace(task, folder=Path(folder)), warmup=warmup, rounds=rounds)
        probe = loading.load(study, list(assignments)).probe
        if probe.mode is not None:
            measured["parts"]["probe"] = measure_probe(with_probe(task, probe))
    return {
        "study": study_settings.name,
        "variant": name,
        "device": device,
        "iterations": iterations - warmup,
        "rounds": rounds,
        "settings": {
            "ours": {
                "channels_last": study_settings.schedule.channels_last,
                "fused": study_settings.schedule.fused,
                "images": "uint8 cache" if study_settings.data.cache is not False else "decoded",
                "amp": study_settings.schedule.amp,
            },
            "stock": {"channels_last": False, "fused": False, "images": "decoded", "amp": None},
        },
        **measured,
    }


def add(app: typer.Typer) -> None:
    """Register `fpnprobe bench training`."""

    @app.command("training")
    def training(
        study: Annotated[Path, typer.Argument(help="Study folder.")] = Path("studies/quickstart"),
        variant: Annotated[str | None, typer.Option(help="Variant; the last by default.")] = None,
        assignments: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study."),
        ] = None,
        iterations: Annotated[int, typer.Option(min=2, help="Iterations of a round.")] = 30,
        warmup: Annotated[int, typer.Option(min=1, help="Of those, not timed.")] = 5,
        rounds: Annotated[int, typer.Option(min=1, help="Rounds of each kind.")] = 3,
        device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    ) -> None:
        """Time our training against mmdet's stock runner settings, by turns in one process."""
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        result = run(
            study,
            variant=variant,
            assignments=tuple(assignments or ()),
            iterations=iterations,
            warmup=warmup,
            rounds=rounds,
            device=device,
        )
        if as_json:
            typer.echo(json.dumps(result))
            return
        for name in ("ours", "stock"):
            row = result[name]
            typer.echo(
                f"{name:6} {row['wall']:.4f} s wall, {row['cpu']:.4f} s CPU, "
                f"{row['loader_cpu']:.4f} s CPU of loaders, per iteration"
            )
        whole = sum(result["parts"].values())
        percents = (f"{name} {100 * s / whole:.0f} %" for name, s in result["parts"].items())
        typer.echo(f"where the time of ours goes: {', '.join(percents)}")
        shapes = result["shapes"]
        typer.echo(
            f"{shapes['shapes']} shapes of batches: an iteration takes {shapes['new_s']:.3f} s "
            f"where the shape is new, else {shapes['seen_s']:.3f} s"
        )
        typer.echo(f"ours is {result['speedup']:.2f} x as fast ({result['cpu_speedup']:.2f} x CPU)")
