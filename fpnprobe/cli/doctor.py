"""`fpnprobe doctor`: versions, device, operator backend, and what would fail."""

import json
from typing import Annotated, Any

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def doctor(
        as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    ) -> None:
        """Show versions, device and what would fail here; exit code 3 if studies cannot run."""
        from fpnprobe.doctor import examine
        from fpnprobe.errors import EnvironmentProblem

        def describe_stack() -> dict[str, Any]:
            from fpnprobe.mm.environment import describe

            return describe()

        diagnosis = examine(describe_stack)
        if as_json:
            typer.echo(json.dumps(diagnosis.to_dict()))
        else:
            for name, value in diagnosis.facts.items():
                listed = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
                shown = "-" if listed in (None, "") else listed
                typer.echo(f"{diagnosis.verdict(name):8} {name:16} {shown}")
            for problem in diagnosis.problems:
                kind = "problem" if problem.fatal else "note"
                typer.echo(f"{kind}: {problem.what}\n  fix: {problem.fix}")
            typer.echo("ok: studies run here" if diagnosis.ok else "problem: no study runs here")
        if not diagnosis.ok:
            raise typer.Exit(EnvironmentProblem.exit_code)
