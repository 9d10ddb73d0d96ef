"""Tables of measured AP: last values, means with intervals, differences to the baseline."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from fpnprobe.report.tables import published
from fpnprobe.report.tables.stored import Stored
from fpnprobe.statistics import t_interval

METRICS = ("AP", "AP_S", "AP_M", "AP_L")
_COMPARED = ["variant", "baseline", "metric", "difference", "low", "high", "source", "method"]
_PREFERENCE = {"both": 0, "images": 1, "seeds": 2}


def final(stored: Stored, *, iou_type: str | None = None) -> pd.DataFrame:
    """Last evaluation of each cell in AP points: variant, seed, metric, value.

    Of boxes or masks, whichever the study judges, unless `iou_type` says.
    """
    table = stored.evaluation
    if table.empty:
        return pd.DataFrame(columns=["variant", "seed", "metric", "value"])
    table = table[table["iou_type"] == (iou_type or stored.iou_type)]
    last = table.groupby(["variant", "seed", "metric"])["iteration"].transform("max")
    table = table[table["iteration"] == last].drop_duplicates(["variant", "seed", "metric"])
    return table.assign(value=100 * table["value"])[["variant", "seed", "metric", "value"]]


def by_variant(stored: Stored) -> pd.DataFrame:
    """Mean, 95 % t interval over seeds and seed values, in AP points, with the paper's value.

    An interval ends where AP does, at 0 and 100.
    """
    table = final(stored)
    detectors = {published.detector(study) for study in stored.studies}
    paper = published.by_variant(detectors.pop() if len(detectors) == 1 else "")
    if not stored.compares_with_paper:
        paper = paper[paper["metric"] == "AP"]
    published_ap = paper.set_index(["variant", "metric"])["published"].to_dict()
    rows = []
    for metric in METRICS:
        for variant in stored.variants:
            rows_of_metric = table[(table["variant"] == variant) & (table["metric"] == metric)]
            seeds = [float(v) for v in rows_of_metric.sort_values("seed")["value"] if v == v]
            spread = t_interval(seeds)
            rows.append(
                {
                    "variant": variant, "metric": metric, "value": spread.mean,
                    "low": float(np.clip(spread.low, 0, 100)),
                    "high": float(np.clip(spread.high, 0, 100)),
                    "seeds": tuple(seeds), "published": published_ap.get((variant, metric), np.nan),
                }
            )  # fmt: skip
    columns = ["variant", "metric", "value", "low", "high", "seeds", "published"]
    return pd.DataFrame(rows, columns=columns)


def baseline(stored: Stored) -> str:
    """The variant that others are compared with: the study's choice, DC5, or the first."""
    return next(iter(_list_baselines(stored)), "")


def focus(stored: Stored) -> tuple[str, str]:
    """The pair that the summary speaks of: the baseline, and FPN or the next variant."""
    base = baseline(stored)
    other_variants = [name for name in _select_evaluated(stored, stored.variants) if name != base]
    return base, next(
        (n for n in other_variants if n.split(": ")[-1] == "FPN"),
        other_variants[0] if other_variants else "",
    )


def _list_baselines(stored: Stored) -> list[str]:
    """The baseline of each study, by its name in the report."""
    baselines = []
    for study in stored.studies:
        cells = [cell for cell in stored.cells if cell.study == study["name"]]
        names = {cell.name: cell.variant for cell in cells}
        evaluated_names = _select_evaluated(stored, list(names.values()))
        names = {name: variant for name, variant in names.items() if variant in evaluated_names}
        first = [name for name in (study.get("baseline"), "DC5", *names) if name in names]
        baselines += [names[str(first[0])]] if first else []
    return baselines


def _select_evaluated(stored: Stored, variants: list[str]) -> list[str]:
    """Those of the variants that have an evaluation; all where none has (nothing to choose)."""
    measured = set(final(stored)["variant"])
    return [variant for variant in variants if variant in measured] or variants


def compared(stored: Stored) -> pd.DataFrame:
    """Differences to the baseline in AP points: the stored evidence, or paired seeds without it.

    Of variants that were evaluated on different files nothing is compared.
    """
    evidence = stored.evidence.get("comparison")
    if evidence is not None:
        comparisons = _select_pooled(evidence, _list_baselines(stored))
        if not comparisons.empty:
            return comparisons
    table, base = final(stored), baseline(stored)
    rows = []
    wide = table.pivot_table(index=["metric", "seed"], columns="variant", values="value")
    for variant in stored.variants:
        if variant == base or not {variant, base} <= set(wide.columns):
            continue
        if len(_list_annotations(stored, (variant, base))) > 1:
            continue
        for metric in METRICS:
            if metric not in wide.index.get_level_values(0):
                continue
            of_metric = wide.xs(metric, level="metric")
            pairs = (of_metric[variant] - of_metric[base]).dropna()
            spread = t_interval(pairs)
            bounds = (spread.mean, spread.low, spread.high)
            rows.append((variant, base, metric, *bounds, "seeds", "Student's t"))
    return pd.DataFrame(rows, columns=_COMPARED)


def _list_annotations(stored: Stored, variants: Collection[str]) -> set[str]:
    """The annotation files that the cells of some variants were evaluated on."""
    return {
        str(cell.manifest["annotations"])
        for cell in stored.cells
        if cell.variant in variants and cell.is_run and cell.manifest.get("annotations")
    }


def against(stored: Stored, base: str) -> pd.DataFrame:
    """Differences of later pyramids to one variant in AP points, from the stored evidence alone."""
    evidence = stored.evidence.get("comparison")
    if evidence is None:
        return pd.DataFrame(columns=_COMPARED)
    rows_against = _select_pooled(evidence, [base])
    later = stored.variants[stored.variants.index(base) + 1 :] if base in stored.variants else []
    later = [name for name in later if not name.split(": ")[-1].startswith("DC5")]
    return rows_against[rows_against["variant"].isin(later)].reset_index(drop=True)


def _select_pooled(evidence: pd.DataFrame, baselines: list[str]) -> pd.DataFrame:
    """Pooled differences to these: over "both" where several seeds allow it, else over images."""
    table = evidence[(evidence["seed"].astype(str) == "all")]
    if "baseline" in table:
        table = table[table["baseline"].isin(baselines)]
    table = table.assign(known=table["low"].notna())
    table = table.sort_values(
        ["known", "source"], key=lambda c: c.map(_PREFERENCE.get) if c.name == "source" else ~c,
        kind="stable",
    )  # fmt: skip
    table = table.drop_duplicates(["variant", "baseline", "metric"]).sort_index()
    table = table[table["metric"].isin(METRICS)]
    if "method" not in table:  # evidence of earlier versions
        method_names = {"both": "a hierarchical bootstrap", "seeds": "Student's t"}
        table = table.assign(method=table["source"].map(method_names).fillna("a bootstrap"))
    scaled = {name: 100 * table[name] for name in ("difference", "low", "high")}
    return table.assign(**scaled)[_COMPARED].reset_index(drop=True)
