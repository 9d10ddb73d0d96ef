"""The section on what was built and what it sees: Figures 4 and 5, attribution to levels."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.figures import modules
from fpnprobe.figures.columns import rows, split
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure, Section, Table
from fpnprobe.report.sections.model import figure5_compactness, figure5_feature_maps
from fpnprobe.report.tables.stored import Stored

MODULES, LEAST = 14, 0.002
_PARTS = ("backbone", "neck", "auxiliary", "rpn")  # then the heads


def section(stored: Stored) -> Section | None:
    """Whatever of it is stored; None if nothing is."""
    blocks = [
        *_draw_modules(stored),
        *figure5_feature_maps.figure(stored),
        *figure5_compactness.table(stored),
        *_draw_attribution(stored),
    ]
    return Section("model", "What was built, and what it sees", blocks) if blocks else None


def module_table(stored: Stored) -> pd.DataFrame:
    """Modules of each variant as its first finished cell lists them."""
    records: list[dict[str, Any]] = []
    for variant in stored.variants:
        cells = [c for c in stored.done if c.variant == variant]
        listed = ((cells[0].manifest.get("model") or {}).get("modules") or []) if cells else []
        items = (
            [{"name": name, **facts} for name, facts in listed.items() if isinstance(facts, dict)]
            if isinstance(listed, dict)
            else [item for item in listed if isinstance(item, dict)]
        )
        records += [
            {
                "variant": variant,
                "name": str(item.get("name", "")),
                "type": str(item.get("type", "")),
                "shape": _write_shape(item.get("shape") or item.get("output")),
                "parameters": float(item.get("parameters", np.nan)),
            }
            for item in items
        ]
    return pd.DataFrame(records, columns=list(modules.COLUMNS))


def _rank_module(name: str) -> int:
    """Place of a module's part in the forward pass."""
    return next((at for at, prefix in enumerate(_PARTS) if name.startswith(prefix)), len(_PARTS))


def _write_shape(value: Any) -> str:
    if isinstance(value, list | tuple) and value and all(isinstance(v, int) for v in value):
        return " × ".join(str(v) for v in value)
    if isinstance(value, list | tuple):
        return ", ".join(_write_shape(v) for v in value)
    return "" if value is None else str(value)


def _compare_parameters(stored: Stored) -> str:
    """Parameters of each variant at inference, and where auxiliary heads train beside them."""
    counts: dict[str, str] = {}
    for cell in stored.done:
        model = cell.manifest.get("model") or {}
        every = float(model.get("parameters") or np.nan)
        predicting = float(model.get("predicting") or every)
        if every > 0:
            counts[cell.variant] = f"{cell.variant} {predicting / 1e6:.2f} M" + (
                f" (in training {every / 1e6:.2f} M with its auxiliary heads)"
                if predicting < every
                else ""
            )
    return ", ".join(counts.values())


def _draw_modules(stored: Stored) -> list[Block]:
    table = module_table(stored)
    if table.empty:
        return []
    sentence = _compare_parameters(stored)
    largest = table.assign(rank=table.groupby("variant")["parameters"].rank(ascending=False))
    share = largest["parameters"] / largest.groupby("variant")["parameters"].transform("sum")
    drawn_modules = largest[(largest["rank"] <= MODULES) & ~(share < LEAST)].drop(columns="rank")
    order = {name: at for at, name in enumerate(stored.variants)}
    drawn_modules = drawn_modules.sort_values(
        ["variant", "name"],
        key=lambda c: c.map(order) if c.name == "variant" else c.map(_rank_module),
        kind="stable",
    )
    reach = float(drawn_modules["parameters"].max())
    panels = [
        Panel(
            name,
            partial(modules.draw, share, colors=stored.colors, reach=reach),
            height=38 * len(share),
        )
        for name, share in split(drawn_modules, "variant")
    ]
    return [
        Figure(
            "figure-4",
            "The modules as built (Figure 4 of the paper)",
            f"Parameters that predict: {sentence}. A gain that comes with more parameters needs a "
            "control of equal size. From the backbone to the heads, without modules of less than "
            f"{100 * LEAST:g} % of the parameters, the {MODULES} largest at most; bars are "
            "parameters.",
            panels,
            table,
            left=4,
            bottom=12,
            share="",
        )
    ]


def _draw_attribution(stored: Stored) -> list[Block]:
    table = stored.evidence.get("attribution")
    required = {"variant", "method", "place", "bucket", "level", "share", "low", "high"}
    if table is None or not required <= set(table.columns):
        return []
    table = table[(table["place"] == "stages") & table["share"].notna()]
    method = "integrated_gradients"
    if method not in set(table["method"]) and len(table):
        method = str(table["method"].iloc[0])
    table = table[table["method"] == method]
    if table.empty:
        return []
    levels = sorted(set(table["level"]))
    records = []
    for (variant, bucket), rows_of_bucket in table.groupby(["variant", "bucket"], sort=False):
        record = {"variant": variant, "bucket": bucket}
        for row in rows(rows_of_bucket):
            record[row.level] = f"{row.share:.2f} [{row.low:.2f}, {row.high:.2f}]"
        records.append(record)
    frame = pd.DataFrame(records, columns=["variant", "bucket", *levels])
    return [
        Table(
            "attribution",
            "What class scores rest on",
            f"Share of each stage in the class scores of objects, by {method.replace('_', ' ')}, "
            "with 95 % intervals over images. It tells what a trained model uses, not what "
            "trained it.",
            frame,
            {name: name for name in frame.columns},
            dict.fromkeys(levels, "{}"),
        )
    ]
