"""`fpnprobe status`: where the cells of an output folder are, also while they run."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def status(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of run-study.")],
        watch: Annotated[
            float | None,
            typer.Option(
                min=0.5, metavar="SECONDS", help="Print it anew so often, until no cell runs."
            ),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
    ) -> None:
        """Show the state of every cell; works from any terminal while a study runs."""
        from fpnprobe.study import snapshot

        for result in snapshot.follow(folder, every=watch):
            typer.echo(json.dumps(result) if as_json else snapshot.lines(result))
