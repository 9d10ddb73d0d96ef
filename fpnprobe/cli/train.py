"""`fpnprobe train`: any mmdet config, trained with the probe, and its report."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def train(
        config: Annotated[
            str, typer.Argument(metavar="CONFIG", help="mmdet config: a file, or a shipped name.")
        ],
        more_options: Annotated[
            list[str] | None,
            typer.Argument(metavar="[KEY=VALUE]...", help="Further --cfg-options."),
        ] = None,
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
                help="Change keys of the config, as mmengine does.",
            ),
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on from the last checkpoint.")
        ] = False,
        amp: Annotated[bool, typer.Option("--amp", help="Train in mixed precision.")] = False,
        auto_scale_lr: Annotated[
            bool, typer.Option("--auto-scale-lr", help="Scale the learning rate to the batch.")
        ] = False,
        mode: Annotated[
            str | None, typer.Option(help="routes, full or norms; as the config says, else routes.")
        ] = None,
        interval: Annotated[
            int | None, typer.Option(min=1, help="Iterations between samples, instead of a budget.")
        ] = None,
        budget: Annotated[
            float | None,
            typer.Option(
                help="Fraction of the training time that samples may take; as the config says, "
                "else 0.02."
            ),
        ] = None,
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
        from fpnprobe.config.training_request import TrainingRequest
        from fpnprobe.study import training_run

        request = TrainingRequest(
            config=config,
            data=None if data is None else str(data),
            work_dir=None if work_dir is None else str(work_dir),
            options=(*(options or ()), *(more_options or ())),
            resume=resume,
            amp=amp,
            auto_scale_lr=auto_scale_lr,
            mode=mode,
            interval=interval,
            budget=budget,
            strict=strict,
            seed=seed,
            launcher=launcher,
        )
        folder = training_run.train(request, nproc=nproc)
        if folder is None:  # one of several processes, not the first
            return
        from fpnprobe.report import build

        typer.echo("writing the report", err=True)
        result = {"work_dir": str(folder), **build(folder)}
        note = result.pop("note")
        if note:
            typer.echo(note, err=True)
        if as_json:
            typer.echo(json.dumps(result))
        else:
            typer.echo(result["diagnosis"])
            if result["summary"]:
                typer.echo(f"\n{result['summary']}\n")
            typer.echo(f"open {Path(result['html']).resolve().as_uri()}")
        if fail_on_rules and result["found"]:
            raise typer.Exit(1)
