"""The sections that let a reader trust the numbers: residuals, and where everything came from."""

from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.report.content import Block, Section, Table, Text
from fpnprobe.report.stored import Cell, Stored

TOLERANCE = 1e-5
HALF_TOLERANCE = 1e-3


def tolerance(cell: Cell) -> float:
    """Residual that a cell may have: 1e-5 in float32, 1e-3 where training ran in half precision."""
    schedule = (cell.manifest.get("config") or {}).get("schedule") or {}
    return HALF_TOLERANCE if schedule.get("amp") else TOLERANCE


def residuals(stored: Stored) -> pd.DataFrame:
    """Largest relative residual of each cell with its tolerance and verdict."""
    table = stored.gradients.residuals
    if table.empty:
        return table
    limits = {(cell.variant, cell.seed): tolerance(cell) for cell in stored.cells}
    table = table.assign(
        tolerance=[limits[v, s] for v, s in zip(table["variant"], table["seed"], strict=True)]
    )
    worst = table[["loss", "gradient", "routes"]].max(axis=1)
    return table.assign(verdict=np.where(worst <= table["tolerance"], "holds", "OVER TOLERANCE"))


def section(stored: Stored) -> Section:
    """The residual table."""
    table = residuals(stored)
    blocks: list[Block] = [
        Text(
            "Buckets must add up to the loss and to the gradient, and routes to the total. These "
            "are the largest relative residuals of those sums over all sampled iterations."
        )
    ]
    if table.empty:
        blocks.append(Text("Not measured: no ledger.", "hole"))
    else:
        held = int((table["verdict"] == "holds").sum())
        names = ("loss", "gradient", "routes", "tolerance")
        blocks.append(
            Table(
                "residuals",
                "Conservation",
                f"{held} of {len(table)} cells hold their tolerance.",
                table,
                {
                    "variant": "variant", "seed": "seed", "samples": "samples",
                    "nonfinite": "non-finite", "loss": "loss", "gradient": "gradient",
                    "routes": "routes", "tolerance": "tolerance", "verdict": "verdict",
                },
                dict.fromkeys(names, "{:.1e}"),
            )
        )  # fmt: skip
    return Section("soundness", "Do the parts add up", blocks)


def provenance(stored: Stored) -> Section:
    """The manifests: code, data, device, timings, probe."""
    rows = [_facts(cell) for cell in stored.cells]
    names = list(dict.fromkeys(k for row in rows for k in row))
    table = pd.DataFrame(rows, columns=names)
    return Section(
        "provenance",
        "Where every number comes from",
        [
            Table(
                "manifest",
                "Cells",
                "One row per cell, from its manifest. The key is the hash of the resolved "
                "configuration, seed, data and code: the same key is the same experiment.",
                table,
                {name: name for name in names},
                {
                    "train s": "{:.0f}", "s per iteration": "{:.3f}", "probe cost %": "{:.1f}",
                    "parameters M": "{:.2f}", "GFLOPs": "{:.2f}",
                },
            )
        ],
    )  # fmt: skip


def _facts(cell: Cell) -> dict[str, Any]:
    m = cell.manifest
    git, data, timings = (m.get(key) or {} for key in ("git", "data", "timings"))
    probe, model = (m.get(key) or {} for key in ("probe", "model"))

    def scaled(value: Any, factor: float) -> float:
        return float(value) * factor if isinstance(value, int | float) else float("nan")

    revision = str(git.get("revision") or "")[:10]
    return {
        "variant": cell.variant,
        "seed": cell.seed,
        "state": cell.state,
        "key": str(m.get("key") or "–")[:12],
        "code": (revision + ("*" if git.get("dirty") else "")) or "–",
        "data": str(data.get("root_hash") or "–")[:12],
        "images": data.get("images"),
        "device": str(m.get("device") or "–"),
        "train s": scaled(timings.get("train_s"), 1),
        "s per iteration": scaled(timings.get("per_iteration_s"), 1),
        "probe cost %": scaled(probe.get("cost"), 100),
        "parameters M": scaled(model.get("parameters"), 1e-6),
        "GFLOPs": scaled(model.get("flops"), 1e-9),
    }
