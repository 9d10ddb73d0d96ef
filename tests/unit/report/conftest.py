"""A generator of study folders as a run leaves them, with numbers like those of real runs."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fpnprobe.store.feature_maps import Features
from fpnprobe.variants import slug

BUCKETS = ("small", "medium", "large")
# Norm^2 shares of small, medium, large and the route's size, as measured on small detectors.
SHARES: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "DC5": {"deeper": (0.13, 0.37, 0.50), "direct": (0.16, 0.40, 0.44)},
    "FPN": {"direct": (0.86, 0.14, 0.001), "deeper": (0.40, 0.25, 0.35)},
    "FPN-Aux": {
        "direct": (0.84, 0.15, 0.01),
        "auxiliary": (0.30, 0.34, 0.36),
        "deeper": (0.38, 0.26, 0.36),
    },
    "FPN-CFG1": {"direct": (0.70, 0.23, 0.07), "deeper": (0.36, 0.31, 0.33)},
}
AP = {
    "DC5": (0.152, 0.003, 0.115, 0.417),
    "FPN": (0.376, 0.366, 0.406, 0.362),
    "FPN-Aux": (0.381, 0.360, 0.411, 0.380),
    "FPN-CFG1": (0.402, 0.392, 0.440, 0.377),
}
METRICS = ("AP", "AP_S", "AP_M", "AP_L")


def ledger(
    variant: str,
    seed: int,
    *,
    iterations: int = 500,
    interval: int = 25,
    taps: Sequence[str] = ("C2", "C3", "C4", "C5"),
    frozen: Iterable[str] = (),
    study: str = "quickstart",
    terms: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ledger and conflict table of one cell: routes add up, shares follow `SHARES`."""
    rng = np.random.default_rng(seed)
    steps = np.arange(0, iterations, interval)
    routes: dict[str, Sequence[float]] = dict(SHARES.get(variant.split("~")[0], SHARES["FPN"]))
    blocks: list[pd.DataFrame] = []

    def block(
        tap: str, kind: str, route: str, term: str, shares: Sequence[float], size: float
    ) -> None:
        share = np.asarray(shares, dtype=float)
        noise = rng.lognormal(0, 0.25, (len(steps), 3))
        decay = size * (0.3 + 0.7 * np.exp(-steps / max(iterations, 1)))[:, None]
        l2 = decay * np.sqrt(share[None] * noise / share.sum())
        background = decay * 0.45 * rng.lognormal(0, 0.2, (len(steps), 1))
        total = np.sqrt((l2**2).sum(1, keepdims=True) + background**2)
        values = np.hstack([l2, background, total])
        of = (l2**2) / (l2**2).sum(1, keepdims=True)
        nan = np.full((len(steps), 2), np.nan)
        still = tap in frozen and kind == "parameter"
        n = len(steps)
        blocks.append(
            pd.DataFrame(
                {
                    "iteration": np.repeat(steps, 5),
                    "tap": tap,
                    "level": int(tap[1:]),
                    "kind": kind,
                    "route": route,
                    "bucket": np.tile([*BUCKETS, "background", "all"], n),
                    "term": term,
                    "l2": np.nan if still else values.ravel(),
                    "share": np.nan if still else np.hstack([of, nan]).ravel(),
                    "state": "frozen" if still else "measured",
                }
            )
        )

    for tap in taps:
        level = int(tap[1:])
        if variant.startswith("DC5"):
            here = {"deeper" if level < 5 else "direct": routes["deeper"]}
        else:
            mix = (level - 2) / 4
            large = tuple(
                (1 - mix) * a + mix * b
                for a, b in zip(routes["direct"], (0.2, 0.35, 0.45), strict=True)
            )
            here = {**routes, "direct": large}
            if level == 5:
                here.pop("deeper")
                here.pop("auxiliary", None)
        for route, shares in here.items():
            block(tap, "activation", route, "all", shares, {"deeper": 0.02}.get(route, 0.025))
        mean = np.mean([here[route] for route in here], axis=0)
        block(tap, "activation", "total", "all", mean, 0.03)
        block(tap, "parameter", "total", "all", mean, 0.5)
        if terms:
            block(tap, "activation", "total", "rpn", mean, 0.01)
            block(tap, "activation", "total", "roi", mean, 0.02)
            if "direct" in here and not variant.startswith("DC5"):
                for at in range(2, level + 1):
                    part = np.eye(3)[min(at - 2, 2)] + 0.05
                    block(tap, "activation", "direct", f"L{at}", part, 0.02 / (level - at + 1))
    if not variant.startswith("DC5"):
        for level in range(2, 6):
            part = np.array([1.2, 0.6, 0.05])[::-1] ** ((level - 2) / 3 + 0.1)
            if level == 2:
                part = np.array([0.9, 0.1, 0.002])
            block(f"P{level}", "activation", "total", "all", part, 0.02)
    frame = pd.concat(blocks, ignore_index=True)
    n_objects = {"small": 14, "medium": 12, "large": 10, "background": 0, "all": 36}
    frame["n_objects"] = frame["bucket"].map(n_objects)
    frame["n_rows"] = frame["bucket"].map({**n_objects, "background": 900, "all": 936})
    for name in ("residual_loss", "residual_gradient", "residual_routes"):
        frame[name] = 2.1e-7 * rng.lognormal(0, 0.3, len(frame))
    frame["epoch"] = frame["iteration"] // 200
    frame.insert(0, "study", study)
    frame.insert(1, "variant", variant)
    frame.insert(2, "seed", seed)
    pairs = [("small", "medium", 0.12), ("small", "large", -0.04), ("medium", "large", 0.2)]
    conflict = pd.DataFrame(
        [
            {
                "study": study, "variant": variant, "seed": seed, "iteration": int(step),
                "tap": tap, "kind": "parameter", "bucket_a": a, "bucket_b": b,
                "cosine": float(np.clip(c + 0.05 * rng.standard_normal(), -1, 1)),
            }
            for step in steps[:: max(1, len(steps) // 20)]
            for tap in taps
            for a, b, c in pairs
        ]
    )  # fmt: skip
    return frame.sort_values("iteration", kind="stable"), conflict


def evaluation(
    variant: str, seed: int, *, iterations: int = 500, study: str = "quickstart"
) -> pd.DataFrame:
    rng = np.random.default_rng(100 + seed)
    final = AP.get(variant.split("~")[0], AP["FPN"])
    rows = [
        {
            "study": study, "variant": variant, "seed": seed, "iteration": step, "iou_type": "bbox",
            "metric": metric, "engine": "hotcoco",
            "value": max(0.0, value * scale + 0.02 * rng.standard_normal()),
        }
        for step, scale in ((iterations // 2, 0.6), (iterations, 1.0))
        for metric, value in (*zip(METRICS, final, strict=True), ("AP_50", final[0] * 1.75))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def manifest(variant: str, seed: int, **changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = {
        "study": "quickstart",
        "variant": variant,
        "seed": seed,
        "key": f"{seed:08x}",
        "state": "done",
        "reason": "",
        "command": "fpnprobe run-study studies/quickstart",
        "config": {"detector": {"framework": "faster_rcnn"}, "optimizer": {"lr": 0.002}},
        "versions": {"python": "3.11.2", "torch": "2.11.0", "fpnprobe": "0.1.0"},
        "git": {"revision": "0123456789abcdef", "dirty": False},
        "data": {"root_hash": "a1b2c3d4e5f6", "images": [800, 200], "objects": [7421, 1804]},
        "device": "cpu",
        "timings": {"train_s": 93.0, "evaluate_s": 5.2, "per_iteration_s": 0.186},
        "probe": {
            "mode": "routes", "interval": 25, "budget": 0.02, "cost": 0.018, "samples": 20,
            "residuals": {"loss": 2.3e-7, "gradient": 4.1e-7, "routes": 1.9e-7},
        },
        "model": {
            "parameters": 1_710_000,
            "flops": 3.1e9,
            "modules": [
                {"name": "backbone.layer1", "type": "ResLayer", "shape": [16, 48, 48],
                 "parameters": 9_408},
                {"name": "neck.lateral.0", "type": "Conv2d", "shape": [64, 48, 48],
                 "parameters": 1_088},
            ],
        },
        "annotations": "images/val.json",
        "classes": ["ring", "square", "triangle", "plus", "hourglass"],
        "notes": [],
    }  # fmt: skip
    return {**value, **changes}


def write_cell(root: Path, variant: str, seed: int, **options: Any) -> Path:
    folder = root / "cells" / slug(variant) / f"seed-{seed}"
    folder.mkdir(parents=True)
    changes = options.pop("manifest", {})
    if options.pop("training", False):
        write_training(folder, variant, seed, iterations=options.get("iterations", 500))
    for trained in options.pop("kept", ()):
        write_kept(folder, variant, seed, trained=trained)
    frame, conflict = ledger(variant, seed, **options)
    frame.to_parquet(folder / "ledger.parquet", index=False)
    conflict.to_parquet(folder / "conflict.parquet", index=False)
    evaluation(variant, seed, iterations=options.get("iterations", 500)).to_parquet(
        folder / "evaluation.parquet", index=False
    )
    (folder / "manifest.json").write_text(json.dumps(manifest(variant, seed, **changes)))
    write_features(folder / "features", variant)
    return folder


def write_training(folder: Path, variant: str, seed: int, *, iterations: int) -> None:
    """Losses as mmdet names them, the learning rate, and an alpha per stage and part."""
    rng = np.random.default_rng(7 + seed)
    rows = []
    for step in range(0, iterations, max(1, iterations // 200)):
        at = step / iterations
        losses = {
            name: start * (0.2 + 0.8 * np.exp(-4 * at)) * rng.lognormal(0, 0.15)
            for name, start in (
                ("loss_rpn_cls", 0.7), ("loss_rpn_bbox", 0.05), ("loss_cls", 1.8),
                ("loss_bbox", 0.8),
            )
        }  # fmt: skip
        if "Aux" in variant:
            damped = np.exp(-at) if "AuxU" in variant else 1
            for stage in (2, 3, 4):
                losses[f"aux{stage}.loss_cls"] = damped * losses["loss_cls"] * (1 + 0.1 * stage)
                losses[f"aux{stage}.loss_bbox"] = damped * losses["loss_bbox"]
        scalars = {"loss": sum(losses.values()), **losses}
        scalars["lr"] = 0.002 * min(1.0, (step + 1) / 50) * (0.51 + 0.49 * np.cos(np.pi * at))
        if "AuxU" in variant:
            for stage in (2, 3, 4):
                scalars[f"alpha C{stage} classification"] = 0.1 + (5 - stage) * 0.2 * at
                scalars[f"alpha C{stage} regression"] = 0.1 * (1 - at)
        rows += [(step, name, float(value)) for name, value in scalars.items()]
    table = pd.DataFrame(rows, columns=["iteration", "name", "value"])
    table.to_parquet(folder / "training.parquet", index=False)


def write_kept(folder: Path, variant: str, seed: int, *, trained: int) -> Path:
    """A measurement of eight batches with the weights after `trained` iterations."""
    target = folder / "offline" / f"iteration-{trained}"
    target.mkdir(parents=True)
    frame, conflict = ledger(variant, 50 * seed + trained % 97, iterations=8, interval=1)
    frame.to_parquet(target / "ledger.parquet", index=False)
    conflict.to_parquet(target / "conflict.parquet", index=False)
    return target


def write_features(folder: Path, variant: str) -> None:
    """Maps that get coarser with depth, on an image with one object of each size."""
    rng = np.random.default_rng(3)
    levels = () if variant.startswith("DC5") else ("P2", "P3", "P4", "P5")
    boxes = np.array([[10, 12, 26, 28], [60, 40, 110, 95], [100, 90, 185, 180]], float)
    Features(
        image_id=7,
        maps={
            tap: rng.random((48 // 2 ** (int(tap[1]) - 2),) * 2) * (1 + "CP".index(tap[0]))
            for tap in ("C2", "C3", "C4", "C5", *levels)
        },
        boxes=boxes,
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * 0.9,
        labels=np.array([0, 1, 2]),
        size=(192, 192),
        image=rng.integers(0, 255, (96, 96, 3), dtype=np.uint8),
        compactness={
            level: 0.1 * ("CFG" in variant) + 0.01 * at for at, level in enumerate(levels)
        },
    ).write(folder)


def write_evidence(root: Path, variants: Sequence[str], seeds: Sequence[int]) -> None:
    folder = root / "evidence"
    folder.mkdir(parents=True, exist_ok=True)
    comparison = [
        {
            "variant": variant, "baseline": baseline, "seed": "all", "metric": metric,
            "a": a, "b": b, "difference": b - a,
            "low": b - a - half if len(seeds) > 1 or source == "images" else float("nan"),
            "high": b - a + half if len(seeds) > 1 or source == "images" else float("nan"),
            "source": source, "level": 0.95, "n_seeds": len(seeds), "n_images": 200, "note": "",
        }
        for baseline, variant in itertools.permutations(variants, 2)
        for metric, a, b in zip(
            METRICS, AP.get(baseline, AP["FPN"]), AP.get(variant, AP["FPN"]), strict=True
        )
        for source, half in (("images", 0.03), ("seeds", 0.04), ("both", 0.05))
    ]  # fmt: skip
    pd.DataFrame(comparison).to_parquet(folder / "comparison.parquet")
    edges = np.geomspace(6, 180, 10)
    curve, errors = [], []
    for variant in variants:
        scale = np.array(AP.get(variant, AP["FPN"]))
        for seed in [*map(str, seeds), "all"]:
            for low, high in itertools.pairwise(edges):
                size = float(np.sqrt(low * high))
                ap = float(np.interp(size, [12, 50, 130], scale[1:]))
                curve.append(
                    {
                        "variant": variant, "seed": seed, "low": low, "high": high,
                        "sqrt_area": size, "ap": ap, "band_low": ap - 0.03, "band_high": ap + 0.03,
                        "n_objects": 100, "source": "images",
                    }
                )  # fmt: skip
            errors += [
                {
                    "variant": variant, "seed": seed, "bucket": bucket, "error": error,
                    "d_ap": 0.02 * (1 + at) * (1 + 0.2 * place) + 0.001 * (seed == "all"),
                }
                for place, bucket in enumerate(BUCKETS)
                for at, error in enumerate(("Loc", "Cls", "Both", "Dupe", "Bkg", "Miss"))
            ]  # fmt: skip
    pd.DataFrame(curve).to_parquet(folder / "size_curve.parquet")
    pd.DataFrame(errors).to_parquet(folder / "errors.parquet")


def write_study(
    root: Path,
    *,
    variants: Sequence[str] = ("DC5", "FPN"),
    seeds: Sequence[int] = (0,),
    evidence: bool = True,
    study: Mapping[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Write a whole study folder and return it."""
    root.mkdir(parents=True, exist_ok=True)
    resolved = {
        "name": "quickstart",
        "question": "Does the pyramid keep large objects from the early stages of the backbone?",
        "expected": "With FPN, AP_S rises and AP_L falls; the direct route to C2 carries no "
        "large objects.",
        "detector": {"framework": "faster_rcnn", "backbone": "resnet18-narrow"},
        "variants": list(variants),
        "seeds": list(seeds),
        "data": {"scenes": {"size": 192}, "train": 800, "val": 200},
        "schedule": {"iterations": 500, "batch": 4},
        "probe": {"mode": "routes", "interval": 25, "budget": 0.02},
        "buckets": [["small", 0, 576], ["medium", 576, 5184], ["large", 5184, None]],
        "compare_with_paper": "Small images have small objects.",
        **(study or {}),
    }
    (root / "study.json").write_text(json.dumps(resolved))
    for variant in variants:
        for seed in seeds:
            write_cell(root, variant, seed, **options)
    if evidence:
        write_evidence(root, variants, seeds)
    return root


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Factory of study folders under the test's own folder."""

    def make(name: str = "study", **options: Any) -> Path:
        return write_study(tmp_path / name, **options)

    return make


@pytest.fixture(scope="session")
def make_anywhere() -> Callable[..., Path]:
    """`write_study` itself, for folders that several tests read."""
    return write_study
