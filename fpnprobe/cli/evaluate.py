"""`fpnprobe evaluate`: the COCO numbers of a detection file."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def evaluate(
        annotations: Annotated[
            Path,
            typer.Argument(metavar="ANNOTATIONS", help="COCO annotations (.json or .json.gz)."),
        ],
        detections: Annotated[
            Path,
            typer.Argument(
                metavar="DETECTIONS", help="COCO results: image_id, category_id, bbox, score."
            ),
        ],
        iou_type: Annotated[str, typer.Option(help="bbox or segm.")] = "bbox",
        engine: Annotated[
            str, typer.Option(help="hotcoco (fast) or pycocotools (the oracle).")
        ] = "hotcoco",
        area: Annotated[
            str | None, typer.Option(help="box: take each object's area from its box.")
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print the numbers and the engine as JSON.")
        ] = False,
    ) -> None:
        """Evaluate detections: AP and AR in points, over all objects and by size."""
        from fpnprobe.errors import FpnProbeError

        for file in (annotations, detections):
            if not file.exists():
                raise FpnProbeError(f"there is no file {file}: give the path of a COCO JSON file")
        from fpnprobe.evaluation import evaluate as run
        from fpnprobe.scales import name_metric

        evaluation = run(annotations, detections, iou_type=iou_type, engine=engine, area=area)
        for line in evaluation.warnings:
            typer.echo(f"warning: {line}", err=True)
        if as_json:
            typer.echo(json.dumps(evaluation.as_json()))
        else:
            for name, value in evaluation.metrics.items():
                points = f"{100 * value:6.1f}" if value == value else "     -"
                typer.echo(f"{name_metric(name, evaluation.buckets):<18}{points}")
