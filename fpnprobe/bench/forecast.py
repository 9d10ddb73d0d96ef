"""Forecasts a study on a named GPU: memory from shapes, hours from mmdet's own published times.

Nothing here was measured on those GPUs. The anchor is what mmdet publishes for
faster-rcnn_r50_fpn_1x_coco, 800 x 1333 px, one image, on a V100 (its metafile.yml): 46.73 ms in
float32, 34.72 ms in half precision. That config does 432 GFLOP there, as `complexity` counts; a
detector with other FLOPs takes time in proportion, and a training step three times its forward
pass. Another GPU is faster by its products at best and by its bytes at worst (or the other way
round), both as its maker gives them, so a forecast is the range between the two.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fpnprobe.config.gpus import GPUS, Gpu, find_gpu
from fpnprobe.errors import FpnProbeError

_ANCHOR_FLOPS = 431.9e9
_ANCHOR_SECONDS = {"single": 46.73e-3, "half": 34.72e-3}
_BACKWARD = 3.0  # a training step over its forward pass: two products for each of the forward
_GIB = 2**30
# Of that config mmdet publishes 4.0 GB for two images, and 3.4 in half precision: with these two
# numbers the forecast is 4.0 and 3.3 GiB.
_OVERHEAD = 1.0 * _GIB  # workspaces, temporaries, fragments
_HALF = 0.75  # activations in half precision over float32: norms and losses stay


def forecast_step(
    gpu: Gpu,
    *,
    flops: float,
    training_flops: float,
    images: int,
    parameters: int,
    trainable: int,
    saved_bytes: int,
    half: bool,
    moments: int,
) -> dict[str, float]:
    """Forecast one training step on one GPU.

    Args:
        gpu: The GPU.
        flops: Of predicting one image; the same config's time was published.
        training_flops: Of the forward pass of the training loss of one image.
        images: Images of the step on this GPU.
        parameters: Weights.
        trainable: Those with gradients.
        saved_bytes: Activations in float32.
        half: Whether it runs in half precision.
        moments: Numbers that the optimizer keeps for each weight: 1 for SGD, 2 for AdamW.

    Returns:
        `seconds_low`, `seconds_high`, `memory_gib`.

    >>> step = dict(images=2, parameters=41_500_000, trainable=41_300_000, saved_bytes=3 * 2**30)
    >>> step |= dict(flops=431.9e9, training_flops=431.9e9)
    >>> found = forecast_step(GPUS["v100"], half=False, moments=1, **step)
    >>> round(found["seconds_low"], 2), round(found["memory_gib"], 1)  # V100: no range
    (0.28, 4.5)
    """
    kind = "half" if half else "single"
    anchor = GPUS["v100"]
    forward = max(flops, training_flops)  # a two-stage detector trains on fewer boxes than it tests
    on_anchor = _ANCHOR_SECONDS[kind] * forward / _ANCHOR_FLOPS * _BACKWARD * images
    by_products = on_anchor * getattr(anchor, kind) / getattr(gpu, kind)
    by_bytes = on_anchor * anchor.bandwidth / gpu.bandwidth
    activations = saved_bytes * _HALF if half else saved_bytes
    state = 4 * (parameters + trainable * (1 + moments))
    return {
        "seconds_low": min(by_products, by_bytes),
        "seconds_high": max(by_products, by_bytes),
        "memory_gib": (activations + state + _OVERHEAD) / _GIB,
    }


def run(
    study: str | Path,
    *,
    gpu: str,
    nproc: int = 1,
    variants: tuple[str, ...] = (),
    assignments: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Forecast every variant of a study on `nproc` GPUs of a kind, without a probe.

    Returns `{study, gpu, nproc, rows, hours_low, hours_high, fits}`; a row is a variant with its
    `cells`, `iterations`, `images` of a step and GPU, `flops`, `memory_gib`, `hours_low` and
    `hours_high` of one cell, and whether it `fits`.

    Args:
        study: Study folder, file or name.
        gpu: A name of `GPUS`.
        nproc: GPUs of one cell.
        variants: Names; all by default.
        assignments: Changes to the study, as "schedule.batch=2".

    Raises:
        FpnProbeError: For a GPU that is not known, or a batch that cannot be split.
    """
    card = find_gpu(gpu)  # before what takes long to import
    import tempfile

    from fpnprobe.config import loading
    from fpnprobe.config.cell_config import CellConfig
    from fpnprobe.mm.bench.step_count import count_step
    from fpnprobe.mm.training.model import model_config
    from fpnprobe.study.folder import dataset, study_folder
    from fpnprobe.suggestions import select_names

    loaded = loading.load(study, list(assignments))
    schedule = loaded.schedule
    if nproc < 1 or schedule.batch % (nproc * schedule.accumulate):
        raise FpnProbeError(
            f"--nproc {nproc}: schedule.batch {schedule.batch} is not a multiple of nproc x "
            f"schedule.accumulate = {nproc * schedule.accumulate}"
        )
    with tempfile.TemporaryDirectory() as folder:
        source = dataset.prepare(loaded, out=folder, write=False)
        result = study_folder.of(loaded, source=source, out=folder)
    side = result.study.data.known_size or 640
    # as COCO's images are, 4 to 3, where only the short side is known; padded to multiples of 32
    sides = (side, side * 4 // 3) if isinstance(side, int) else side
    size = (_pad(min(sides)), _pad(max(sides)))
    images = schedule.batch // (nproc * schedule.accumulate)
    names = [variant.name for variant in result.study.variants]
    rows: list[dict[str, Any]] = []
    for name in select_names(variants or names, names, "variant"):
        seeds = result.study.seeds_of(name)
        config = CellConfig.of(result.study, name, seeds[0])
        classes = len(source.classes)
        model = model_config(config, classes=classes)
        count = count_step(model, size=size, images=images, classes=classes)
        step = forecast_step(
            card,
            images=images,
            half=schedule.amp is not None,
            moments=1 if schedule.optimizer == "SGD" else 2,
            **count,
        )
        passes = result.iterations * schedule.accumulate
        rows.append(
            {
                "variant": name,
                "cells": len(seeds),
                "iterations": result.iterations,
                "images": images,
                "flops": count["flops"],
                "training_flops": count["training_flops"],
                "parameters": count["parameters"],
                "memory_gib": step["memory_gib"],
                "hours_low": step["seconds_low"] * passes / 3600,
                "hours_high": step["seconds_high"] * passes / 3600,
                "fits": step["memory_gib"] * _GIB <= card.memory * 1e9,
            }
        )
    return {
        "study": result.study.name,
        "gpu": gpu.lower(),
        "nproc": nproc,
        "size": list(size),
        "rows": rows,
        "hours_low": sum(row["hours_low"] * row["cells"] for row in rows),
        "hours_high": sum(row["hours_high"] * row["cells"] for row in rows),
        "fits": all(row["fits"] for row in rows),
    }


def _pad(side: int) -> int:
    return -(-side // 32) * 32


def lines(result: dict[str, Any]) -> str:
    """Write a forecast for a person."""
    sentences = []
    for row in result["rows"]:
        verdict = "" if row["fits"] else "; DOES NOT FIT: raise schedule.accumulate"
        sentences.append(
            f"{row['variant']}: {row['memory_gib']:.1f} GiB on each GPU, "
            f"{_hours(row['hours_low'], row['hours_high'])} a cell, {row['cells']} cells, "
            f"{row['training_flops'] / 1e9:.0f} GFLOP forward for an image{verdict}"
        )
    total = _hours(result["hours_low"], result["hours_high"])
    sentences.append(
        f"all cells one after the other on {result['nproc']} x {result['gpu']}: {total}, without "
        "probe, loading and evaluation (a forecast from published times, not measured there)"
    )
    return "\n".join(sentences)


def _hours(low: float, high: float) -> str:
    """Write a range.

    >>> _hours(0.2, 1.5), _hours(9.9, 30.2)
    ('0.2 to 1.5 h', '10 to 30 h')
    """
    places = 1 if high < 10 else 0
    return f"{low:.{places}f} to {high:.{places}f} h"


def add(app: typer.Typer) -> None:
    """Register `fpnprobe bench forecast`."""

    @app.command("forecast")
    def forecast(
        study: Annotated[str, typer.Argument(help="Study folder, or a name of `studies`.")],
        gpu: Annotated[str, typer.Option(help=f"One of {', '.join(GPUS)}.")],
        nproc: Annotated[int, typer.Option(min=1, help="GPUs of one cell.")] = 1,
        variants: Annotated[str, typer.Option(help="Only these variants, as DC5,FPN.")] = "",
        assignments: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study."),
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print the forecast as JSON.")
        ] = False,
    ) -> None:
        """Forecast memory and hours of a study on a named GPU, without having one."""
        result = run(
            study,
            gpu=gpu,
            nproc=nproc,
            variants=tuple(name.strip() for name in variants.split(",") if name.strip()),
            assignments=tuple(assignments or ()),
        )
        typer.echo(json.dumps(result) if as_json else lines(result))
