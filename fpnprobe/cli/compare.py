"""`fpnprobe compare`: two runs or detection files, every difference with its interval."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def compare(
        a: Annotated[Path, typer.Argument(help="Baseline: a cell's folder, or a detection file.")],
        b: Annotated[Path, typer.Argument(help="What is compared with it: a folder or a file.")],
        annotations: Annotated[
            Path | None,
            typer.Option(help="COCO annotations; needed for detection files only."),
        ] = None,
        iou_type: Annotated[
            str | None, typer.Option(help="bbox or segm; bbox, or the study's, by default.")
        ] = None,
        area: Annotated[
            str | None,
            typer.Option(
                help="box: take each object's area from its box; that of the runs by default."
            ),
        ] = None,
        resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 1000,
        seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
        as_json: Annotated[
            bool,
            typer.Option("--json", help="Print {metric: {a, b, difference, low, high}} as JSON."),
        ] = False,
    ) -> None:
        """Compare B with A on the same images: AP by size, differences with 95 % intervals."""
        from fpnprobe.evaluation import compare_runs

        found = compare_runs(
            a,
            b,
            annotations=annotations,
            iou_type=iou_type,
            area=area,
            resamples=resamples,
            seed=seed,
        )
        for line in dict.fromkeys(found.warnings):
            typer.echo(f"warning: {line}", err=True)
        typer.echo(json.dumps(found.as_json()) if as_json else repr(found))
