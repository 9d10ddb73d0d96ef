"""`fpnprobe plan`: what `run-study` would do."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def plan(
        study: Annotated[
            Path,
            typer.Argument(
                metavar="STUDY", help="Folder with study.py, the file, or a name of `studies`."
            ),
        ],
        out: Annotated[
            Path | None,
            typer.Option(
                help="Output folder; reports/<name> by default, reports/mine-<name> where git "
                "tracks that."
            ),
        ] = None,
        variants: Annotated[str, typer.Option(help="Only these variants, as DC5,FPN.")] = "",
        seeds: Annotated[str, typer.Option(help="Only these seeds, as 0,1.")] = "",
        assignments: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study."),
        ] = None,
        jobs: Annotated[
            int | None, typer.Option(min=1, help="Cells at the same time on this machine.")
        ] = None,
        gpu: Annotated[
            str, typer.Option(help="Forecast memory and hours on this GPU, as a100 or h100.")
        ] = "",
        nproc: Annotated[int, typer.Option(min=1, help="GPUs of one cell, for --gpu.")] = 1,
        as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    ) -> None:
        """Show the cells of a study: done, missing or stale (and why), and what they cost."""
        from fpnprobe.config.gpus import find_gpu
        from fpnprobe.study import commands, planning, request

        if gpu:
            find_gpu(gpu)  # a misspelling is told before data are looked for
        study_request = request.request(
            study, assignments=assignments or [], out=out, variants=variants, seeds=seeds
        )
        result = commands.make_plan(study_request, jobs=jobs)
        paragraphs = [planning.lines(result)]
        if gpu:
            from fpnprobe.bench import forecast

            result["forecast"] = forecast.run(
                study,
                gpu=gpu,
                nproc=nproc,
                variants=study_request.variants,
                assignments=tuple(assignments or ()),
            )
            paragraphs.append(forecast.lines(result["forecast"]))
        typer.echo(json.dumps(result) if as_json else "\n".join(paragraphs))
