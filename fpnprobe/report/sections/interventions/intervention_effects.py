"""Effects of interventions on AP, against their untouched twins: table and figure."""

from functools import partial
from typing import Any

import pandas as pd

from fpnprobe.figures import causes
from fpnprobe.figures.legend import Key
from fpnprobe.figures.palette import INK, MUTED
from fpnprobe.figures.svg import Panel
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Figure, Table
from fpnprobe.report.sections.interventions.intervention_paths import changed
from fpnprobe.report.tables.average_precision import METRICS
from fpnprobe.report.tables.stored import Stored


def effects(stored: Stored) -> pd.DataFrame:
    """Change of AP by intervention and metric, in AP points, with every interval and seed."""
    table = stored.evidence.get("comparison")
    columns = ["variant", "twin", "metric", "twin_ap", "ap", "difference", "low", "high",
               "low_images", "high_images", "low_seeds", "high_seeds", "seeds"]  # fmt: skip
    if table is None or table.empty:
        return pd.DataFrame(columns=columns)
    table = table.assign(seed=table["seed"].astype(str))
    records = []
    for entry in changed(stored):
        pair = table[(table["variant"] == entry.variant) & (table["baseline"] == entry.twin)]
        for metric in METRICS:
            rows = pair[pair["metric"] == metric]
            whole = {str(row["source"]): row for row in _list_records(rows[rows["seed"] == "all"])}
            if "images" not in whole:
                continue
            record: dict[str, Any] = {
                "variant": entry.variant, "twin": entry.twin, "metric": metric,
                "twin_ap": 100 * whole["images"]["a"], "ap": 100 * whole["images"]["b"],
                "difference": 100 * whole["images"]["difference"],
            }  # fmt: skip
            for source, suffix in (("both", ""), ("images", "_images"), ("seeds", "_seeds")):
                for end in ("low", "high"):
                    record[end + suffix] = 100 * whole.get(source, {}).get(end, float("nan"))
            single = rows[rows["seed"] != "all"]["difference"]
            records.append({**record, "seeds": tuple(100 * float(v) for v in single)})
    return pd.DataFrame(records, columns=columns)


def figure(stored: Stored, table: pd.DataFrame) -> Figure:
    """The effects by metric, with every interval and seed."""
    clear = table[(table["low"] > 0) | (table["high"] < 0)]
    sentence = ", ".join(
        f"{row['variant']} {stored.name_metric(row['metric'])} {signed(row['difference'])}"
        for row in _list_records(clear)
    )
    keys = [
        Key("95 % over seeds and images", MUTED, "line"),
        Key("95 % over images alone", MUTED),
        Key("one seed", INK, "o"),
    ]
    return Figure(
        "effects",
        "What AP does",
        (
            f"Larger than their uncertainty: {sentence}."
            if sentence
            else "No change is larger than its interval over seeds and images."
        )
        + " AP points against the untouched twin, seed by seed on the same images.",
        [
            Panel(
                name,
                partial(
                    causes.draw,
                    table[table["metric"] == metric].assign(metric=name),
                    colors=stored.colors,
                ),
            )
            for metric in METRICS
            for name in [stored.name_metric(metric)]
        ],
        table.assign(seeds=[" ".join(f"{v:.3f}" for v in seeds) for seeds in table["seeds"]]),
        keys=keys,
        height=46 * table["variant"].nunique() + 20,
        left=130,
        bottom=48,
        share="xy",
    )


def numbers(stored: Stored, table: pd.DataFrame) -> Table:
    """The effects as numbers, one source of error beside the other."""
    frame = table.assign(
        seeds=[len(seeds) for seeds in table["seeds"]],
        metric=table["metric"].map(stored.name_metric),
    )
    for name, suffix in (("both", ""), ("images", "_images"), ("spread", "_seeds")):
        ends = zip(table[f"low{suffix}"], table[f"high{suffix}"], strict=True)
        frame[name] = pd.Series([interval(*pair) for pair in ends], index=frame.index, dtype=object)
    return Table(
        "effects-table",
        "Effects of every intervention",
        "Means over seeds, in AP points. The interval over seeds is Student's t on the seeds' "
        "differences; over images it is a paired bootstrap; together, a hierarchical one.",
        frame,
        {
            "variant": "variant", "twin": "twin", "metric": "metric", "twin_ap": "twin's AP",
            "ap": "AP", "difference": "difference", "both": "seeds and images",
            "images": "images alone", "spread": "seeds alone", "seeds": "seeds",
        },
        {"twin_ap": "{:.1f}", "ap": "{:.1f}", "difference": "{:+.1f}"},
    )  # fmt: skip


def interval(low: Any, high: Any) -> str | None:
    """An interval as set in text; None where it is not known."""
    has_bounds = low is not None and high is not None and low == low
    return f"{signed(low)} to {signed(high)}" if has_bounds else None


def _list_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
