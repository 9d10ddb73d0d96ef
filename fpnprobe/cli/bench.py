"""`fpnprobe bench`: one subcommand per file of `fpnprobe/bench`, imported when it is called."""

import importlib
import pkgutil
from typing import Any

import typer
from typer.core import TyperGroup

import fpnprobe.bench
from fpnprobe.suggestions import suggest


class Benches(TyperGroup):
    """Finds the subcommands by their file names; a module is imported only to run or describe."""

    def list_commands(self, _ctx: Any) -> list[str]:
        """Names of the benches."""
        return sorted(module.name for module in pkgutil.iter_modules(fpnprobe.bench.__path__))

    def get_command(self, ctx: Any, name: str) -> Any:
        """The subcommand that `fpnprobe.bench.<name>` adds, or None."""
        if name not in self.list_commands(ctx):
            return None
        group = typer.Typer(add_completion=False)
        importlib.import_module(f"fpnprobe.bench.{name}").add(group)
        command = typer.main.get_command(group)
        command.name = name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The subcommand of a command line; a misspelled one is told with the nearest names.

        The parser would suggest of the commands that it holds, which are none before they are
        imported.
        """
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            ctx.fail(f"No such command {name!r}: {suggest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def add(app: typer.Typer) -> None:
    """Register the verb."""
    group = typer.Typer(cls=Benches, no_args_is_help=True)

    @group.callback()
    def _describe_group() -> None:
        """Measure speed, as ratios in one process."""

    app.add_typer(group, name="bench")
