"""`fpnprobe check`: do the invariants hold on this model?"""

from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def check(
        configs: Annotated[
            list[str], typer.Argument(help="mmdet config files, or names shipped with mmdet.")
        ],
        data: Annotated[
            Path | None, typer.Option(help="COCO folder of the batch; generated without it.")
        ] = None,
        split: Annotated[str, typer.Option(help="Name of its annotation file.")] = "val",
        size: Annotated[int, typer.Option(help="Side of the images, in px.")] = 160,
        tolerance: Annotated[float, typer.Option(help="Largest relative residual.")] = 1e-5,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
        markdown: Annotated[bool, typer.Option(help="Print a Markdown table.")] = False,
    ) -> None:
        """Check that buckets and routes add up on a model; exit code 1 beyond the tolerance."""
        import fpnprobe.mm  # noqa: F401
        from fpnprobe.errors import ClaimFailed
        from fpnprobe.mm.inspect import check

        results = []
        for config in configs:
            typer.echo(f"checking {config}", err=True)
            results.append(
                check.check_config(config, size=size, tolerance=tolerance, data=data, split=split)
            )
        typer.echo(check.as_json(results) if as_json else check.table(results, markdown=markdown))
        if problem := check.problem(results):
            typer.echo(f"error: {problem}", err=True)
            raise typer.Exit(ClaimFailed.exit_code)
