"""Differences between two variants, from what a study has stored: as a table, JSON or text."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence.verdicts import ONE_SEED
from fpnprobe.suggestions import suggest

_PAIR = ["baseline", "variant"]
_COLUMNS = ["metric", "difference", "low", "high", "a", "b", *_PAIR, "source", "seeds"]


def differences(comparison: pd.DataFrame | None, a: str, b: str) -> pd.DataFrame:
    """Read what variant `b` gains over `a` in AP points from a study's stored comparison.

    Of each metric the interval that covers most: over images and seeds, else over images.

    Raises:
        FpnProbeError: If one of them is unknown or nothing was compared.
    """
    if comparison is None or comparison.empty:
        raise FpnProbeError(
            "this run has no stored comparison of its variants: run `fpnprobe run-study` to its "
            "end, or give two cells or two detection files"
        )
    variants = sorted({*comparison["variant"], *comparison["baseline"]})
    for name in (a, b):
        if name not in variants:
            raise FpnProbeError(f"no variant {name!r} was compared: {suggest(name, variants)}")
    pooled = comparison[comparison["seed"].astype(str) == "all"]
    there = pooled[(pooled["baseline"] == a) & (pooled["variant"] == b)]
    back = pooled[(pooled["baseline"] == b) & (pooled["variant"] == a)]
    if there.empty:  # a pair is stored one way round
        there = back.assign(
            baseline=a, variant=b, a=back["b"], b=back["a"], difference=-back["difference"],
            low=-back["high"], high=-back["low"],
        )  # fmt: skip
    if there.empty:
        raise FpnProbeError(f"{a} and {b} were not compared with each other")
    order = {"both": 0, "images": 1, "seeds": 2}
    there = there.assign(rank=there["source"].map(order), unknown=there["low"].isna())
    best = there.sort_values(["unknown", "rank"], kind="stable").drop_duplicates("metric")
    best = best.sort_index().rename(columns={"n_seeds": "seeds"})
    for name in ("a", "b", "difference", "low", "high"):
        best[name] = 100 * best[name]
    words = {"both": "images and seeds"}
    return best.assign(source=best["source"].replace(words))[_COLUMNS].reset_index(drop=True)


def differences_as_json(table: pd.DataFrame) -> dict[str, Any]:
    """`{metric: {a, b, difference, low, high, source, seeds}}`, in points; NaN as null.

    `named` is among them where the table has it: the metric with its bounds.
    """
    return {
        str(row["metric"]): {
            str(key): None if value != value else value
            for key, value in row.items()
            if key not in ("metric", *_PAIR)
        }
        for row in table.to_dict("records")
    }


def differences_as_text(
    table: pd.DataFrame, *, a: str, b: str, name: Callable[[str], str] = str
) -> str:
    """The differences for a person: bounds beside sizes, and what the intervals cover.

    Args:
        table: What `differences` gives.
        a: The baseline.
        b: What is compared with it.
        name: A metric with its bounds.
    """
    readable = table.drop(columns=["named", *_PAIR], errors="ignore")
    readable = readable.rename(columns={"a": a, "b": b})
    readable = readable.assign(metric=table["metric"].map(name))
    seeds = int(table["seeds"].max()) if len(table) else 0
    words = ONE_SEED if seeds < 2 else f"{seeds} seeds"
    sources = set(table["source"])
    over = sources.pop() if len(sources) == 1 else "what source says"
    head = f"{b} - {a} in AP points, {words}; 95 % intervals over {over}"
    hidden = ["seeds", *(["source"] if over != "what source says" else [])]
    body = readable.drop(columns=hidden).to_string(index=False, float_format="{:.1f}".format)
    return f"{head}\n{body}"
