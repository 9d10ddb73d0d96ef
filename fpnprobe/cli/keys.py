"""`fpnprobe keys`: the keys of a study file, their types, defaults and meanings."""

import json
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def keys(
        part: Annotated[
            str, typer.Argument(metavar="[PART]", help="Only keys with this in them, as schedule.")
        ] = "",
        as_json: Annotated[bool, typer.Option("--json", help="Print the keys as JSON.")] = False,
        markdown: Annotated[bool, typer.Option(help="Print a Markdown table.")] = False,
    ) -> None:
        """Show what a study file may say and `--set` may change."""
        from fpnprobe.config.key_table import format_keys, study_keys
        from fpnprobe.errors import FpnProbeError
        from fpnprobe.suggestions import suggest

        selected = [key for key in study_keys() if part in key.name]
        if not selected:
            hint = suggest(part, [key.name for key in study_keys()])
            raise FpnProbeError(f"no key of a study holds {part!r}, {hint}")
        if as_json:
            typer.echo(json.dumps([key.as_json() for key in selected]))
        else:
            typer.echo(format_keys(selected, markdown=markdown))
