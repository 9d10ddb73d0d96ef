"""`fpnprobe run-study`: train and evaluate what is missing, then build the report."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command("run-study")
    def run_study(
        study: Annotated[
            Path | None,
            typer.Argument(
                metavar="STUDY", help="Folder with study.py, the file, or a name of `studies`."
            ),
        ] = None,
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
        device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
        launcher: Annotated[
            str, typer.Option(help="none, pytorch, slurm or command (see --template).")
        ] = "none",
        nproc: Annotated[
            int | None,
            typer.Option(min=1, help="Processes per cell and node; 1, under Slurm one for a GPU."),
        ] = None,
        template: Annotated[
            str | None,
            typer.Option(help="Command that starts a cell somewhere, as 'ssh gpu1 {cell}'."),
        ] = None,
        keep_going: Annotated[
            bool, typer.Option("--keep-going/--fail-fast", help="When a cell fails.")
        ] = True,
        fresh: Annotated[bool, typer.Option("--fresh", help="Delete the cells first.")] = False,
        from_manifest: Annotated[
            Path | None, typer.Option(help="Repeat the cell of this manifest.json.")
        ] = None,
        trust: Annotated[
            bool,
            typer.Option("--trust", help="Execute config files and imports that it names."),
        ] = False,
        fail_on_claims: Annotated[
            bool, typer.Option("--fail-on-claims", help="Exit 1 if a claim is contradicted.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    ) -> None:
        """Run every missing cell of a study, then build its report; resumes what was stopped."""
        from fpnprobe.study import commands, request, run_result

        study_request = request.request(
            study,
            assignments=assignments or [],
            out=out,
            variants=variants,
            seeds=seeds,
            manifest=from_manifest,
            trust=trust,
        )
        how = commands.Running(
            jobs=jobs,
            device=device,
            launcher=launcher,
            nproc=nproc,
            template=template,
            keep_going=keep_going,
            fresh=fresh,
        )
        commands.check_options(study_request, how)
        from fpnprobe import report  # what is misspelled is told before what draws is imported

        result = commands.run_all(study_request, how, finish=report.build)
        typer.echo(json.dumps(result) if as_json else run_result.lines(result))
        raise typer.Exit(run_result.exit_code(result, fail_on_claims=fail_on_claims))
