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
                metavar="DIR...", help="Folders that run-study wrote; several are combined."
            ),
        ],
        out: Annotated[
            Path | None, typer.Option(help="Where to write; the first folder by default.")
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print {html, pdf, claims} as JSON.")
        ] = False,
    ) -> None:
        """Rebuild report.html, report.pdf and claims.json from stored tables; needs no model."""
        from fpnprobe.report import build

        result = build(folders, out=out)
        note = result.pop("note")
        if note:
            typer.echo(note, err=True)
        if as_json:
            typer.echo(json.dumps(result))
        else:
            for path in result.values():
                if path:
                    typer.echo(path)
