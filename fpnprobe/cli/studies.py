"""`fpnprobe studies`: the studies that come with the package."""

import json
import shutil
import sys
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def studies(
        as_json: Annotated[
            bool, typer.Option("--json", help="Print [{name, file, question}] as JSON.")
        ] = False,
    ) -> None:
        """List the studies that come with fpnprobe: names for run-study, plan and init --from."""
        from fpnprobe.config.shipped_studies import list_shipped

        rows = list_shipped()
        if as_json:
            content = [
                {"name": row.name, "file": str(row.file), "question": row.question} for row in rows
            ]
            typer.echo(json.dumps(content))
            return
        width = max(len(row.name) for row in rows)
        for row in rows:
            line = f"{row.name:{width}}  {row.question}"
            columns = shutil.get_terminal_size().columns
            cut = sys.stdout.isatty() and len(line) > columns
            typer.echo(f"{line[: columns - 1]}…" if cut else line)
