"""`fpnprobe report`: rebuild the report from stored tables."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def report(
        folders: Annotated[
            list[Path],
            typer.Argument(
                metavar="DIR...",
                help="Folders that run-study wrote, work_dirs of trainings with the probe, or a "
                "tree of work_dirs; several are combined.",
            ),
        ],
        out: Annotated[
            Path | None,
            typer.Option(
                help="Where to write; by default the first study, or report/ beside trainings."
            ),
        ] = None,
        names: Annotated[
            str, typer.Option(help="What the trainings are called, in order, as FPN,PAFPN.")
        ] = "",
        fail_on_rules: Annotated[
            bool,
            typer.Option("--fail-on-rules", help="Exit 1 if a rule is found."),
        ] = False,
        as_json: Annotated[
            bool,
            typer.Option(
                "--json", help="Print {html, pdf, claims, rules, diagnosis, found} as JSON."
            ),
        ] = False,
    ) -> None:
        """Build report.html, report.pdf, claims.json and rules.json from stored tables alone."""
        from fpnprobe.store.study import StoredStudy

        for folder in folders:
            if not folder.is_dir():
                StoredStudy.read(folder)  # says so, before what draws is imported
        from fpnprobe.report import build

        run_names = [name.strip() for name in names.split(",")] if names else []
        typer.echo(f"building the report of {', '.join(map(str, folders))}", err=True)
        result = build(folders, out=out, names=run_names)
        note = result.pop("note")
        if note:
            typer.echo(note, err=True)
        if as_json:
            typer.echo(json.dumps(result))
        else:
            for key in ("headline", "summary", "html", "markdown", "pdf", "claims", "rules"):
                if result[key]:
                    typer.echo(result[key])
            if result["diagnosis"] != result["headline"]:
                typer.echo(result["diagnosis"])
        if fail_on_rules and result["found"]:
            raise typer.Exit(1)
