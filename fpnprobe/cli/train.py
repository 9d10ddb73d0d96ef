"""`fpnprobe train`: any mmdet config, trained with the probe, and its report."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def train(
        config: Annotated[
            str, typer.Argument(metavar="CONFIG", help="mmdet config: a file, or a shipped name.")
        ],
        data: Annotated[
            Path | None,
            typer.Option(
                help="COCO folder: images/, annotations/train.json and val.json; by default the "
                "config's own data."
            ),
        ] = None,
        work_dir: Annotated[
            Path | None, typer.Option(help="Where to write; work_dirs/<config> by default.")
        ] = None,
        options: Annotated[
            list[str] | None,
            typer.Option(
                "--cfg-options",
                metavar="KEY=VALUE",
                help="Change a key of the config, as mmengine does; may be repeated.",
            ),
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on from the last checkpoint.")
        ] = False,
        amp: Annotated[bool, typer.Option("--amp", help="Train in mixed precision.")] = False,
        auto_scale_lr: Annotated[
            bool, typer.Option("--auto-scale-lr", help="Scale the learning rate to the batch.")
        ] = False,
        mode: Annotated[str, typer.Option(help="routes, full or norms.")] = "routes",
        interval: Annotated[
            int | None, typer.Option(min=1, help="Iterations between samples, instead of a budget.")
        ] = None,
        budget: Annotated[
            float, typer.Option(help="Fraction of the training time that samples may take.")
        ] = 0.02,
        strict: Annotated[
            bool, typer.Option("--strict", help="Stop where an invariant does not hold.")
        ] = False,
        seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
        launcher: Annotated[str, typer.Option(help="none, pytorch or slurm.")] = "none",
        nproc: Annotated[int, typer.Option(min=1, help="Processes (pytorch).")] = 1,
        fail_on_rules: Annotated[
            bool, typer.Option("--fail-on-rules", help="Exit 1 if a rule is found.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    ) -> None:
        """Train an mmdet config with the probe; the report and the diagnosis at the end."""
        from fpnprobe.study import training_run

        asked: dict[str, Any] = {
            "config": config,
            "data": None if data is None else str(data),
            "work_dir": None if work_dir is None else str(work_dir),
            "options": options or [],
            "resume": resume,
            "amp": amp,
            "auto_scale_lr": auto_scale_lr,
            "mode": mode,
            "interval": interval,
            "budget": None if interval or mode == "norms" else budget,
            "strict": strict,
            "seed": seed,
        }
        folder = training_run.train(asked, launcher=launcher, nproc=nproc)
        if folder is None:  # one of several processes, not the first
            return
        from fpnprobe.report import build

        result = {"work_dir": str(folder), **build(folder)}
        note = result.pop("note")
        if note:
            typer.echo(note, err=True)
        if as_json:
            typer.echo(json.dumps(result))
        else:
            typer.echo(result["diagnosis"])
            typer.echo(result["html"])
        if fail_on_rules and result["found"]:
            raise typer.Exit(1)
