"""`fpnprobe`: verbs are one file each in this package, discovered by name; none holds logic."""

import importlib
import json
import os
import pkgutil
import sys

import typer

import fpnprobe
import fpnprobe.cli
from fpnprobe.errors import FpnProbeError

_INTERRUPTED = 130

app = typer.Typer(
    name="fpnprobe",
    help="Which object sizes does each backbone stage of a detector learn from, and by which path?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        typer.echo(fpnprobe.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Run before every verb."""


def register() -> None:
    """Let every verb module add itself: each has `add(app)`."""
    for module in sorted(pkgutil.iter_modules(fpnprobe.cli.__path__), key=lambda m: m.name):
        if module.name != "main":
            importlib.import_module(f"fpnprobe.cli.{module.name}").add(app)


def entry() -> None:
    """Console script: a `FpnProbeError` becomes one line on stderr and its exit code."""
    # Two OpenMP threads of two busy processes spin against each other on a small machine.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    register()
    try:
        app(prog_name="fpnprobe")
    except FpnProbeError as error:
        message = " ".join(str(error).split())
        if "--json" in sys.argv:
            typer.echo(json.dumps({"error": message, "exit_code": error.exit_code}))
        typer.echo(f"error: {message}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("interrupted; run the same command again to go on", err=True)
        sys.exit(_INTERRUPTED)
