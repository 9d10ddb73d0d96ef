"""A study's output folder as `run-study` leaves it, with generated detections and ledgers."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fpnprobe.evaluation import evaluate
from fpnprobe.evaluation.generated import as_documents, generate
from fpnprobe.ledger import GradientRecord, Ledger

BUCKETS = ("small", "medium", "large", "background", "all")


def write_study(
    folder: Path,
    skills: Mapping[str, float],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    spread: float = 0.0,
    images: int = 60,
    large: Mapping[str, float] | None = None,
    **content: Any,
) -> Path:
    """Variants find objects with a chance of `skills`, moved by `spread` from seed to seed.

    `large` is each variant's norm of the large objects' gradient; the others' norm is 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study = {
        "name": "toy",
        "question": "?",
        "detector": {"framework": "faster_rcnn"},
        "variants": list(skills),
        "seeds": list(seeds),
        "buckets": [],
        "evaluation": {"iou_type": "bbox", "engine": "hotcoco"},
        **content,
    }
    (folder / "study.json").write_text(json.dumps(study))
    for v, (variant, skill) in enumerate(skills.items()):
        for seed in seeds:
            truth, found = generate(
                images=images, detections=25, categories=3, skill=skill + spread * (seed - 1)
            )
            annotations, results = as_documents(truth, found)
            (folder / "val.json").write_text(json.dumps(annotations))
            cell = folder / "cells" / f"v{v}" / f"seed-{seed}"
            cell.mkdir(parents=True)
            (cell / "detections.json.gz").write_bytes(gzip.compress(json.dumps(results).encode()))
            manifest = {
                "study": "toy", "variant": variant, "seed": seed, "state": "done",
                "annotations": str(folder / "val.json"),
            }  # fmt: skip
            (cell / "manifest.json").write_text(json.dumps(manifest))
            judged = evaluate(truth, found).to_pandas(variant=variant, seed=seed)
            judged.to_parquet(cell / "evaluation.parquet", index=False)
            norm = (large or {}).get(variant, 1.0) + 0.01 * seed
            write_ledger(cell, norm, variant=variant, seed=seed)
    return folder


def write_ledger(folder: Path, norm: float, *, variant: str = "", seed: int = 0) -> None:
    """A ledger in which large objects' gradient has this norm, and all others' 1."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [
        GradientRecord(
            iteration=i,
            epoch=0,
            tap=tap,
            level=int(tap[1]),
            kind="activation",
            route=route,
            bucket=bucket,
            term="all",
            l2=norm if bucket == "large" else 1.0,
            share=np.nan,
            n_objects=5,
            n_rows=9,
        )
        for i in range(2)
        for tap in ("C2", "C3")
        for route in ("total", "direct", "deeper")
        for bucket in BUCKETS
    ]
    Ledger.of(records, study="toy", variant=variant, seed=seed).write(folder)
