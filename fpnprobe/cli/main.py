"""`fpnprobe`: verbs are one file each in this package, discovered by name; none holds logic."""

import importlib
import json
import os
import pkgutil
import sys

import typer
from typer.models import CommandInfo

import fpnprobe
import fpnprobe.cli
from fpnprobe.errors import FpnProbeError, Interrupted

_INTERRUPTED = 130
_TASKS = {
    "Start": ("doctor", "studies", "init", "keys", "data"),
    "Train and measure": ("run-study", "train", "plan", "status", "probe", "check"),
    "Read what came out": ("report", "compare", "evaluate", "attribute"),
    "Measure this machine": ("bench",),
}
"""Verbs by what one wants to do, in the order of the help."""

app = typer.Typer(
    name="fpnprobe",
    help="Which object sizes does each backbone stage of a detector learn from, and by which path?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(show: bool) -> None:
    if show:
        typer.echo(fpnprobe.__version__)
        raise typer.Exit


@app.callback()
def _run_before_verb(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the version and exit.",
    ),
) -> None:
    """Run before every verb."""


def register() -> None:
    """Let every verb module add itself: each has `add(app)`."""
    for module in sorted(pkgutil.iter_modules(fpnprobe.cli.__path__), key=lambda m: m.name):
        if module.name != "main":
            importlib.import_module(f"fpnprobe.cli.{module.name}").add(app)
    panels = {verb: (at, task) for task, verbs in _TASKS.items() for at, verb in enumerate(verbs)}
    order = [verb for verbs in _TASKS.values() for verb in verbs]
    for command in app.registered_commands:
        command.rich_help_panel = panels.get(_name_verb(command), (0, "More"))[1]
    for group in app.registered_groups:
        group.rich_help_panel = panels.get(str(group.name), (0, "More"))[1]
    app.registered_commands.sort(
        key=lambda command: order.index(v) if (v := _name_verb(command)) in order else len(order)
    )


def _name_verb(command: CommandInfo) -> str:
    """The name of a command, which is its function's where it was given none."""
    return str(command.name or getattr(command.callback, "__name__", ""))


def entry() -> None:
    """Console script: whatever is wrong becomes one line on stderr and an exit code."""
    # Two OpenMP threads of two busy processes spin against each other on a small machine.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    register()
    try:
        code = app(prog_name="fpnprobe", standalone_mode=False)
    except Interrupted as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except FpnProbeError as error:
        code = _print_error(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except Exception as error:
        code = _report_misuse(error)
    if code == _INTERRUPTED:
        typer.echo("interrupted; run the same command again to go on", err=True)
    sys.exit(code or 0)


def _report_misuse(error: Exception) -> int:
    """The parser's own errors, which have no public base class; any other is raised again."""
    message, command = getattr(error, "format_message", None), getattr(error, "ctx", None)
    if message is None:
        raise error
    sentence = message().strip()
    if not sentence:  # no arguments at all: the help was printed
        return FpnProbeError.exit_code
    path = "fpnprobe" if command is None else command.command_path
    return _print_error(
        f"{path}: {sentence.removesuffix('.')} (see {path} --help)", FpnProbeError.exit_code
    )


def _print_error(message: str, code: int) -> int:
    line = " ".join(message.split())
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": line, "exit_code": code}))
    typer.echo(f"error: {line}", err=True)
    return code
