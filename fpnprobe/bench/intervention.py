"""Times training steps with an intervention against plain ones, in one process."""

import json
from typing import Annotated, Any

import typer


def run(
    *,
    config: str | None = None,
    size: int = 192,
    batch: int = 4,
    repeats: int = 15,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Time plain and intervened training steps by turns, in this process, on one generated batch.

    Times are medians: CPU time of this process on a CPU, wall time around a synchronized device
    otherwise. There is a row for each ready-made intervention:

    - `step_s`, `intervened_step_s`, and `ratio`, the second over the first;
    - `passes`, the extra backward passes that its gains need: none for gains of whole routes, one
      for each bucket with gains of its own;
    - `limit`: the plain step with so many passes down to the stage outputs, in seconds;
      `ratio_to_limit`: intervened_step_s / limit.

    Args:
        config: An mmdet config (file or name); a small Faster R-CNN by default.
        size: Side of the images in px.
        batch: Images in the batch.
        repeats: Timed steps of each kind.
        device: "cpu" or "cuda".
    """
    from fpnprobe.config.mmdet_configs import config_file
    from fpnprobe.study.runner.machine import check_device

    device = check_device(device)  # what is misspelled is told before mmdet is imported
    if config is not None:
        config_file(config)
    from fpnprobe.mm.bench.intervention import measure

    return measure(config=config, size=size, batch=batch, repeats=repeats, device=device)


def add(app: typer.Typer) -> None:
    """Register `fpnprobe bench intervention`."""

    @app.command("intervention")
    def intervention(
        config: Annotated[
            str | None, typer.Option(help="mmdet config; a small Faster R-CNN by default.")
        ] = None,
        size: Annotated[int, typer.Option(help="Side of the images in px.")] = 192,
        batch: Annotated[int, typer.Option(help="Images in the batch.")] = 4,
        repeats: Annotated[int, typer.Option(help="Timed steps of each kind.")] = 15,
        device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
        as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    ) -> None:
        """Time training steps with each ready-made intervention against plain ones."""
        rows = run(config=config, size=size, batch=batch, repeats=repeats, device=device)
        if as_json:
            typer.echo(json.dumps(rows))
            return
        for row in rows:
            typer.echo(
                f"{row['intervention']:17}step {row['step_s']:.4f} s, intervened "
                f"{row['intervened_step_s']:.4f} s ({row['ratio']:.2f} x), "
                f"{row['ratio_to_limit']:.2f} x its limit of {row['passes']} extra passes"
            )
