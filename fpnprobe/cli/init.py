"""`fpnprobe init`: a study to edit."""

import json
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def init(
        name: Annotated[
            str, typer.Argument(metavar="NAME", help="Folder and name of the study, such as own.")
        ],
        source: Annotated[
            str | None,
            typer.Option("--from", help="A study to start from: its path, or its name."),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print {folder} as JSON.")] = False,
    ) -> None:
        """Write a study to edit: a small one with its keys explained, or a copy of another."""
        from fpnprobe.config.scaffold import write_study

        folder = write_study(name, source=source)
        if as_json:
            typer.echo(json.dumps({"folder": str(folder)}))
        else:
            typer.echo(f"{folder / 'study.py'}: edit it, then run: fpnprobe run-study {folder}")
