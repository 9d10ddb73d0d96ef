"""`fpnprobe attribute`: which stages and levels the objects of a trained run rest on."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def attribute(
        run: Annotated[
            Path, typer.Argument(metavar="RUN", help="Folder of a study, or of one of its cells.")
        ],
        images: Annotated[int, typer.Option(help="Validation images, from the first.")] = 20,
        variants: Annotated[str, typer.Option(help="Only these variants, as DC5,FPN.")] = "",
        seeds: Annotated[str, typer.Option(help="Only these seeds, as 0,1.")] = "",
        method: Annotated[
            list[str] | None,
            typer.Option(
                help="integrated_gradients (default), activation_x_gradient, grad_cam or "
                "conductance; may be repeated."
            ),
        ] = None,
        at: Annotated[
            list[str] | None,
            typer.Option(help="stages or pyramid; both by default, where the detector has both."),
        ] = None,
        kind: Annotated[str, typer.Option(help="object, detection or bucket.")] = "object",
        steps: Annotated[int, typer.Option(help="Points on the path of path methods.")] = 64,
        internal_batch_size: Annotated[
            int, typer.Option(help="Most examples in memory at once.")
        ] = 16,
        judge: Annotated[
            int,
            typer.Option(
                help="Also judge the methods (deletion, insertion, infidelity, sensitivity, "
                "shuffled weights) on so many images."
            ),
        ] = 0,
        trust: Annotated[
            bool,
            typer.Option("--trust", help="Execute config files and imports that the run names."),
        ] = False,
        device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
        as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    ) -> None:
        """Attribute class logits to C2..C5 and P2..P6 (captum); shares per object scale."""
        from fpnprobe.attribution.words import check_seeds, check_words
        from fpnprobe.store.selection import find_cells
        from fpnprobe.study.runner.machine import check_device, check_device_name

        # what is misspelled is told before torch and mmdet are imported
        words = check_words(methods=method, places=at, kind=kind)
        only_seeds = check_seeds(seeds)
        only_variants = [name.strip() for name in variants.split(",") if name.strip()]
        find_cells(run, variants=only_variants, seeds=only_seeds)
        check_device_name(device)
        from fpnprobe.mm.inspect.attribution.study import as_json as plain
        from fpnprobe.mm.inspect.attribution.study import attribute_run

        attributions = attribute_run(
            run,
            images=images,
            variants=only_variants,
            seeds=only_seeds,
            steps=steps,
            internal_batch_size=internal_batch_size,
            judged_images=judge,
            trust=trust,
            device=check_device(device),
            report=lambda title, done: typer.echo(f"{title}: image {done} of {images}", err=True),
            **words,
        )
        for cell, reason in attributions.skipped:
            typer.echo(f"skipped {cell}: {reason}", err=True)
        if as_json:
            typer.echo(json.dumps(plain(attributions)))
        else:
            typer.echo(attributions.shares.round(3).to_string(index=False))
            if judge:
                typer.echo(attributions.trust.round(3).to_string(index=False))
            for file in attributions.files:
                typer.echo(file)
