"""Times the probe against the passes it cannot do without and against a pass per bucket."""

import json
from typing import Annotated, Any

import typer


def run(
    *,
    config: str | None = None,
    size: int = 256,
    batch: int = 2,
    repeats: int = 15,
    device: str = "cpu",
    followed: bool = True,
) -> list[dict[str, Any]]:
    """Time plain and probed training steps by turns, in this process, on one generated batch.

    Times are medians: CPU time of this process on a CPU, wall time around a synchronized device
    otherwise. Each row has

    - `mode`, `derived` (K - 1 passes, the largest bucket from the training's own gradient; else K,
      audited), `interval` (the mode's default);
    - `step_s`, `probed_step_s`: a training step without and with the probe;
    - `overhead`: (probed_step_s - step_s) / (interval * step_s), the fraction of training time;
    - `passes` and `limit`: extra backward passes to the same taps and parameters, and the step with
      nothing but them, in seconds; `ratio_to_limit`: probed_step_s / limit, below 1 where a pass
      for few rows is cheaper than an undivided one (RoIAlign on a CPU);
    - `extra_ratio`: (probed_step_s - step_s) / (limit - step_s), the stricter ratio;
    - `peak_memory_ratio`: largest memory in use during a probed step, over a plain one;
    - `naive_s`, `speedup`: one more forward and backward pass for each bucket and the background,
      and their time over what the probe adds to a step;
    - `followed_step_s`, `followed_ratio`: the same probed step with the rows' objects read by
      provenance where an adapter would say them, and that over probed_step_s; 0 without `followed`.

    Mode `norms` makes no pass: its limit is reading every gradient once (a copy of it). Rows `twin:
    ...` are what users have without this package, at every step and beside a plain one: histograms
    of all gradients by hooks (as `wandb.watch`), the norm of each (as Lightning), a backward pass
    to all parameters for each bucket, and the Jacobian of the loss terms held whole (as TorchJD).

    Args:
        config: An mmdet config (file or name); a small Faster R-CNN by default.
        size: Side of the images in px.
        batch: Images in the batch.
        repeats: Timed steps of each kind.
        device: "cpu" or "cuda".
        followed: Time provenance, too, which waits for a GPU at each operator that it follows.
    """
    from fpnprobe.config.mmdet_configs import config_file
    from fpnprobe.study.runner.machine import check_device

    device = check_device(device)  # what is misspelled is told before mmdet is imported
    if config is not None:
        config_file(config)
    from fpnprobe.mm.bench.probe import measure

    return measure(
        config=config, size=size, batch=batch, repeats=repeats, device=device, followed=followed
    )


def add(app: typer.Typer) -> None:
    """Register `fpnprobe bench probe`."""

    @app.command("probe")
    def probe(
        config: Annotated[
            str | None, typer.Option(help="mmdet config; a small Faster R-CNN by default.")
        ] = None,
        size: Annotated[int, typer.Option(help="Side of the images in px.")] = 256,
        batch: Annotated[int, typer.Option(help="Images in the batch.")] = 2,
        repeats: Annotated[int, typer.Option(help="Timed steps of each kind.")] = 15,
        device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
        followed: Annotated[bool, typer.Option(help="Time provenance, too: slow on a GPU.")] = True,
        as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    ) -> None:
        """Time probed training steps against plain ones, their limit, and one pass per bucket."""
        rows = run(
            config=config,
            size=size,
            batch=batch,
            repeats=repeats,
            device=device,
            followed=followed,
        )
        if as_json:
            typer.echo(json.dumps(rows))
            return
        for row in rows:
            if row["mode"].startswith("twin"):
                typer.echo(
                    f"{row['mode']:31}{row['ratio_to_limit']:.2f} x a step, memory x "
                    f"{row['peak_memory_ratio']:.2f}"
                )
                continue
            way = ("derived" if row["derived"] else "audited") if row["passes"] else ""
            typer.echo(
                f"{row['mode']:8}{way:9}step {row['step_s']:.4f} s, probed "
                f"{row['probed_step_s']:.4f} s, {row['ratio_to_limit']:.2f} x its limit, memory x "
                f"{row['peak_memory_ratio']:.2f}, {100 * row['overhead']:.2f} % at interval "
                f"{row['interval']}"
                + (f", {row['speedup']:.1f} x faster than by hand" if row["passes"] else "")
                + f", {row['followed_ratio']:.2f} x by provenance" * bool(row["followed_ratio"])
            )
