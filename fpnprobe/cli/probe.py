"""`fpnprobe probe`: the gradient ledger of a detector on given images."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def probe(
        config: Annotated[
            str,
            typer.Argument(
                metavar="CONFIG",
                help="mmdet config (file, or name of a shipped one), or folder of a trained cell.",
            ),
        ],
        checkpoint: Annotated[
            Path | None,
            typer.Argument(metavar="[CHECKPOINT]", help="Trained weights; without, random ones."),
        ] = None,
        data: Annotated[
            Path | None,
            typer.Option(
                help="COCO folder: images/, annotations/<split>.json. A cell has its own."
            ),
        ] = None,
        split: Annotated[str, typer.Option(help="Name of the annotation file.")] = "val",
        area: Annotated[
            str | None,
            typer.Option(help="box: take each object's area from its box. A cell has its own."),
        ] = None,
        images: Annotated[int, typer.Option(min=1, help="Number of images, from the first.")] = 32,
        batch: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 2,
        size: Annotated[
            int | None, typer.Option(help="Short side in px; by default the config's.")
        ] = None,
        mode: Annotated[
            str, typer.Option(help="full (parameters and cosines too) or routes.")
        ] = "full",
        terms: Annotated[
            str, typer.Option(help="Split further: none, loss, level or both.")
        ] = "none",
        bounds: Annotated[
            str | None, typer.Option(help="Borders of small and large as sides, such as 32,96.")
        ] = None,
        out: Annotated[Path, typer.Option(help="Folder of ledger.parquet.")] = Path("probe"),
        seed: Annotated[int, typer.Option(help="Of random weights and sampled RoIs.")] = 0,
        device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
        trust: Annotated[
            bool,
            typer.Option("--trust", help="Execute config files and imports that a cell names."),
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    ) -> None:
        """Measure the same images every time, bit for bit (mode offline); no training."""
        from fpnprobe.config.offline_request import check_offline_request
        from fpnprobe.study.runner.machine import check_device, check_device_name

        # what is misspelled is told before mmdet is imported
        check_offline_request(config, checkpoint, data=data, mode=mode, terms=terms, bounds=bounds)
        check_device_name(device)
        from fpnprobe.mm.inspect.offline import probe_offline

        result = probe_offline(
            config,
            checkpoint,
            data=data,
            split=split,
            area=area,
            images=images,
            batch=batch,
            size=size,
            mode=mode,
            terms=terms,
            bounds=bounds,
            out=out,
            seed=seed,
            device=check_device(device),
            trust=trust,
        )
        if as_json:
            typer.echo(json.dumps(result.summary))
        else:
            typer.echo(result.shares().to_string(index=False))
            typer.echo(result.line())
