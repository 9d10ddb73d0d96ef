"""Times a pyramid: the literal order of its equations, ours, and the plain FPN."""

import json
from typing import Annotated, Any

import typer

VARIANTS = ("FPN-CFG1", "FPN-CFG3")
SIZES = ((800, 1344), (512, 512))


def run(
    *,
    variants: tuple[str, ...] = VARIANTS,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    batch: int = 1,
    repeats: int = 3,
    device: str = "cpu",
    detector: bool = False,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Time pyramids of a ResNet-50 by turns, in this process.

    Times are medians: CPU time of this process on a CPU, wall time around a synchronized device
    otherwise. Each row of `necks` is one neck (`FPN-CFG3`: laterals, top-down sum, grouping and
    smoothing; `FPN-CFG3 grouping`: Eq. 12-17 alone) in one order (`ours`, or `literal`: the slow
    twin, which computes what the equations print, with the same weights), and has

    - `forward_s`, `forward_backward_s` (gradients of inputs and parameters), in seconds;
    - `.._peak_bytes`: most bytes of tensors in use, weights included;
    - `.._literal_ratio`: time of the literal order over this one (1.5: this one is 1.5 x faster);
    - `.._over_fpn`: this time over that of the plain FPN;
    - `parameters`.

    With `detector`, `detectors` has the prediction of one image by Faster R-CNN R50, each variant
    against FPN: `fps_lost` is the part of the frames per second that it loses.

    Args:
        variants: FPN-CFG1..9, FPN-Wide and FPN-Wide1.
        sizes: Heights and widths of the image in px.
        batch: Images in the batch.
        repeats: Timed runs of each kind.
        device: "cpu" or "cuda".
        detector: Time the whole detector too.
        options: Options of the variants, such as `{"finer": "average"}`.
    """
    from fpnprobe.study.runner.machine import check_device

    device = check_device(device)  # what is misspelled is told before torch is imported
    import torch

    from fpnprobe.mm.bench.neck import detector_slowdown, measure

    grouping_options = options or {}
    necks: list[dict[str, Any]] = []
    detectors: list[dict[str, Any]] = []
    for size in sizes:
        rows = measure(
            variants=variants,
            size=size,
            batch=batch,
            repeats=repeats,
            device=device,
            options=grouping_options,
        )
        necks += [{"size": list(size), **row} for row in rows]
        for name in variants if detector else ():
            row = detector_slowdown(
                variant=name, size=size, repeats=repeats, device=device, options=grouping_options
            )
            detectors.append({"size": list(size), **row})
    threads = torch.get_num_threads()
    return {"device": device, "threads": threads, "necks": necks, "detectors": detectors}


MEMORY_VARIANTS = ("FPN", "FPN-Aux", "FPN-AuxU", "FPN-CFG1", "FPN-CFG3")


def memory(
    *,
    variants: tuple[str, ...] = MEMORY_VARIANTS,
    size: tuple[int, int] = (800, 1344),
    images: int = 2,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Count the activations that a training step of RetinaNet and Faster R-CNN R101 saves.

    Counted from shapes, so it takes seconds and no GPU. Each of `rows` has `kind` (one-stage,
    two-stage), `config`, `variant`, `images`, `saved_bytes` (float32, without weights, gradients,
    optimizer and workspaces) and `parameters` (auxiliary heads with them).
    """
    import fpnprobe.mm  # noqa: F401
    from fpnprobe.mm.bench.activation_memory import measure

    rows = measure(variants=variants, size=size, images=images, options=options or {})
    return {"size": list(size), "rows": rows}


def add(app: typer.Typer) -> None:
    """Register `fpnprobe bench neck`."""

    @app.command("neck")
    def neck(
        variants: Annotated[
            str | None,
            typer.Option(
                help="Variants, with commas. Default: FPN-CFG1,FPN-CFG3; more for memory."
            ),
        ] = None,
        size: Annotated[
            list[str] | None, typer.Option(help="HEIGHTxWIDTH in px; may be given again.")
        ] = None,
        batch: Annotated[
            int | None, typer.Option(help="Images in the batch. Default: 1; 2 for memory.")
        ] = None,
        repeats: Annotated[int, typer.Option(help="Timed runs of each kind.")] = 3,
        device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
        detector: Annotated[
            bool, typer.Option("--detector", help="Time the whole detector's prediction too.")
        ] = False,
        only_memory: Annotated[
            bool,
            typer.Option(
                "--memory", help="Count the activations of a training step of R101 detectors."
            ),
        ] = False,
        finer: Annotated[str, typer.Option(help="Pooling: max or average.")] = "max",
        as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    ) -> None:
        """Time pyramids against their literal twin and the plain FPN, forward and backward."""
        names = None if variants is None else tuple(variants.split(","))
        sizes = SIZES if size is None else tuple(_sides(text) for text in size)
        if only_memory:
            counted = memory(
                variants=names or MEMORY_VARIANTS,
                size=sizes[0],
                images=batch or 2,
                options={"finer": finer},
            )
            _print_memory(counted, as_json=as_json)
            return
        result = run(
            variants=names or VARIANTS,
            sizes=sizes,
            batch=batch or 1,
            repeats=repeats,
            device=device,
            detector=detector,
            options={"finer": finer},
        )
        if as_json:
            typer.echo(json.dumps(result))
            return
        for row in result["necks"]:
            faster = row.get("forward_backward_literal_ratio")
            typer.echo(
                f"{row['size'][0]}x{row['size'][1]}  {row['neck']:18}{row['order']:9}"
                f"forward {row['forward_s']:.3f} s, and backward {row['forward_backward_s']:.3f} s"
                + (f", {faster:.2f} x as fast as the literal order" if faster else "")
            )
        for row in result["detectors"]:
            typer.echo(f"{row['variant']}: {100 * row['fps_lost']:.0f} % fewer frames per second")


def _print_memory(counted: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(counted))
        return
    height, width = counted["size"]
    for row in counted["rows"]:
        typer.echo(
            f"{row['kind']}  {row['variant']:10} {row['saved_bytes'] / 2**30:5.1f} GiB of "
            f"activations for {row['images']} images of {height}x{width}, "
            f"{row['parameters'] / 1e6:.0f} M parameters"
        )


def _sides(text: str) -> tuple[int, int]:
    from fpnprobe.errors import FpnProbeError

    height, cross, width = text.partition("x")
    if not (cross and height.isdecimal() and width.isdecimal()):
        raise FpnProbeError(f"size {text!r}: expected HEIGHTxWIDTH, as 800x1344")
    return int(height), int(width)
