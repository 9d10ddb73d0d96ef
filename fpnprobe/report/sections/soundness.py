"""The sections that let a reader trust the numbers: residuals, and where everything came from."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.figures import probe_cost
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure, Section, Table, Text
from fpnprobe.report.tables.cells import Cell
from fpnprobe.report.tables.read_studies import Stored

TOLERANCE = 1e-5
HALF_TOLERANCE = 1e-3
OVER, UNAUDITED, UNSOUND = "OVER TOLERANCE", "not audited", "UNSOUND"
SPLIT = "holds; values do not split"  # as those of GHM's loss, whose gradients do


def tolerance(cell: Cell) -> float:
    """Residual that a cell may have, by the arithmetic that its probe saw.

    Where an older fpnprobe did not tell: 1e-5, and 1e-3 where training ran in half precision.
    """
    recorded = number((cell.manifest.get("probe") or {}).get("tolerance"))
    if recorded == recorded:
        return recorded
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
    limit = table["tolerance"]
    worst = table[["gradient", "routes"]].max(axis=1)
    # The probe judged each sample: values over tolerance beside sound gradients do not split.
    judged = {
        (cell.variant, cell.seed)
        for cell in stored.cells
        if "unsound" in (cell.manifest.get("probe") or {})
    }
    split = [key in judged for key in zip(table["variant"], table["seed"], strict=True)]
    verdict = np.select(
        [
            (table["unsound"] > 0) & (table["unsound"] == table["samples"]),
            worst.isna() & table["loss"].isna(),
            (worst > limit) | ((table["loss"] > limit) & ~pd.Series(split, index=table.index)),
            table["loss"] > limit,
        ],
        [UNSOUND, UNAUDITED, OVER, SPLIT],
        "holds",
    )
    return table.assign(verdict=verdict)


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
        held = int(table["verdict"].isin(["holds", SPLIT]).sum())
        names = ("loss", "gradient", "routes", "tolerance")
        blocks.append(
            Table(
                "residuals",
                "Conservation",
                f"{held} of {len(table)} cells hold their tolerance.",
                table,
                {
                    "variant": "variant", "seed": "seed", "samples": "samples",
                    **{s: s for s in ("unsound", "underflow") if table[s].any()},
                    "nonfinite": "non-finite", "loss": "loss", "gradient": "gradient",
                    "routes": "routes", "tolerance": "tolerance", "verdict": "verdict",
                },
                dict.fromkeys(names, "{:.1e}"),
            )
        )  # fmt: skip
    return Section("soundness", "Do the parts add up", [*blocks, *_cost(stored)])


def _cost(stored: Stored) -> list[Block]:
    """Set the cost of the probe against its budget."""
    records = []
    for cell in stored.done:
        probe = cell.manifest.get("probe") or {}
        records.append(
            {
                "variant": cell.variant,
                "cost": 100 * number(probe.get("cost")),
                "budget": 100 * number(probe.get("budget")),
                "interval": number(probe.get("interval")),
            }
        )
    table = pd.DataFrame(records, columns=["variant", "cost", "budget", "interval"])
    if table["cost"].isna().all():
        return [Text("The cost of the probe was not measured.", "hole")]
    grouped = table.groupby("variant", sort=False)
    table = grouped.mean().assign(seeds=grouped.size()).reset_index()
    over = table[table["cost"] > table["budget"]]
    sentence = (
        f"Over budget: {', '.join(over['variant'])}."
        if len(over)
        else "Every variant kept its budget."
        if table["budget"].notna().any()
        else f"The probe took {table['cost'].max():.1f} % of the training time at most."
    )
    return [
        Figure(
            "probe-cost",
            "What the probe cost",
            sentence
            + " In percent of the training time, as the probe measured itself"
            + ("; upright strokes are budgets." if table["budget"].notna().any() else "."),
            [Panel("", partial(probe_cost.draw, table, colors=stored.colors))],
            table,
            columns=1,
            height=max(50, 30 * len(table)),
            left=118,
            bottom=48,
        )
    ]


def number(value: Any) -> float:
    """The value, or NaN for anything that is no number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else float("nan")


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


def origin(stored: Stored) -> str:
    """When, where and by which version the cells were made, in a sentence; "" if none tells."""
    manifests = [cell.manifest for cell in stored.done]
    dates = sorted({str(m["finished"])[:10] for m in manifests if m.get("finished")})
    devices = sorted({str(m["device"]) for m in manifests if m.get("device")})
    versions = sorted(
        {str(v["torch"]) for m in manifests if (v := m.get("versions") or {}).get("torch")}
    )
    codes = sorted(
        {str(g["revision"])[:10] for m in manifests if (g := m.get("git") or {}).get("revision")}
    )
    phrases = [
        " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "",
        f"on {', '.join(devices)}" if devices else "",
        f"with torch {', '.join(versions)}" if versions else "",
        f"by revision {', '.join(codes)}" if codes else "",
    ]
    sentence = " ".join(phrase for phrase in phrases if phrase)
    return f"Measured {sentence}." if sentence else ""


def _facts(cell: Cell) -> dict[str, Any]:
    m = cell.manifest
    git, data, timings = (m.get(key) or {} for key in ("git", "data", "timings"))
    probe, model = (m.get(key) or {} for key in ("probe", "model"))

    revision = str(git.get("revision") or "")[:10]
    return {
        "variant": cell.name,
        "study": cell.study,
        "seed": cell.seed,
        "state": cell.state,
        "key": str(m.get("key") or "–")[:12],
        "code": (revision + ("*" if git.get("dirty") else "")) or "–",
        "data": str(data.get("root_hash") or "–")[:12],
        "images": _images(data.get("images") or m.get("images")),
        "device": str(m.get("device") or "–"),
        "train s": number(timings.get("train_s")),
        "s per iteration": number(timings.get("per_iteration_s")),
        "probe cost %": 100 * number(probe.get("cost")),
        "parameters M": 1e-6 * number(model.get("parameters")),
        "GFLOPs": 1e-9 * number(model.get("flops")),
    }


def _images(value: Any) -> str:
    """Training and validation images."""
    return " + ".join(str(v) for v in value) if isinstance(value, list) else str(value or "–")
