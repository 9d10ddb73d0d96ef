"""The top of the report: the answer in a sentence and the four numbers that matter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fpnprobe.figures.columns import rows
from fpnprobe.figures.wording import percent, scientific, signed
from fpnprobe.report.page.content import Number
from fpnprobe.report.sections.claims import tally
from fpnprobe.report.sections.soundness import OVER, UNSOUND, residuals
from fpnprobe.report.tables.average_precision import against, compared, focus
from fpnprobe.report.tables.gradient_shares import absent_sizes, first_stage, name_frozen
from fpnprobe.report.tables.share_intervals import measured_on, share_intervals
from fpnprobe.report.tables.stored import Stored


def answer(stored: Stored, claims: Sequence[Mapping[str, Any]]) -> str:
    """The measured directions, and how the paper's claims fared, in a sentence."""
    base, other = focus(stored)
    table = compared(stored)
    table = table[table["variant"] == other].dropna(subset="difference")
    sentences = [
        _tell_change(row, stored.name_metric(m))
        for m in ("AP_S", "AP_L")
        for row in rows(table[table["metric"] == m])
    ]
    if not sentences:
        return "Not answered yet: no pair of variants has been evaluated."
    one_seed = bool((table["source"] == "images").all())
    return (
        f"From {base} to {other}{', with one seed,' if one_seed else ','} "
        f"{' and '.join(sentences)}; the cause is not claimed."
        f"{_name_repairs(stored, other)}{_count_verdicts(tally(claims), one_seed=one_seed)}"
    )


def _count_verdicts(fared: Mapping[str, int], *, one_seed: bool) -> str:
    """Count which way the paper's differences came out."""
    total = sum(fared.values())
    if not total:
        return ""
    order = [verdict for verdict in ("reproduced", "undecided", "contradicted") if verdict in fared]
    if len(order) == 1:
        why = ", since one seed decides none" if one_seed else ""
        return (
            f" The {total} differences of the paper that this study tests are all {order[0]}{why}."
        )
    counts = [f"{fared[verdict]} {verdict}" for verdict in order]
    listing = f"{', '.join(counts[:-1])} and {counts[-1]}"
    return f" Of {total} differences of the paper that this study tests, {listing} (at 95 % each)."


def _name_repairs(stored: Stored, plain: str) -> str:
    """Name the variants that clearly win AP_L against the plain pyramid; "" without any."""
    table = against(stored, plain)
    table = table[(table["metric"] == "AP_L") & ~table["variant"].str.contains("~")]
    if table.empty or plain.split(": ")[-1] != "FPN":
        return ""
    won = table[table["low"] > 0]
    sure, single = (
        ", ".join(f"{r.variant} {signed(r.difference)}" for r in rows(won[won["source"].isin(of)]))
        for of in (("both", "seeds"), ("images",))
    )
    large = stored.name_metric("AP_L")
    if single and not sure:
        return f" Against {plain}, with one seed and on these images, {large} is higher: {single}."
    if single:
        single = f" On these images {large} is higher with one seed of {single}."
    if not sure:
        return f" Against {plain}, no variant clearly wins {large}." + single
    return f" Against {plain}, {large} is clearly higher with {sure}." + single


def _tell_change(row: Any, metric: str) -> str:
    """Say what happened to a metric, as sure as its interval allows."""
    change = f"{metric} {'rises' if row.difference > 0 else 'falls'} by"
    if row.low != row.low:
        return f"{metric} {signed(row.difference)} points, without an interval"
    if row.low <= 0 <= row.high:
        return (
            f"{metric} does not clearly change ({signed(row.difference)} points, interval "
            f"{signed(row.low)} to {signed(row.high)})"
        )
    return f"{change} {abs(row.difference):.1f} points"


def numbers(stored: Stored, verdicts: Sequence[Mapping[str, Any]] = ()) -> list[Number]:
    """AP_S and AP_L against the baseline, the large objects' share at C2, the worst residual.

    Where explanations were tested by interventions, their effects instead of the differences.
    """
    base, other = focus(stored)
    run = [verdict for verdict in verdicts if verdict["verdict"] != "not run"][:2]
    if run:
        effects = [_effect_number(stored, verdict) for verdict in run]
        return [*effects, _share_number(stored, base, run[0]["variant"]), _residual_number(stored)]
    result = []
    table = compared(stored)
    for metric in ("AP_S", "AP_L"):
        metric_rows = table[(table["variant"] == other) & (table["metric"] == metric)]
        row = metric_rows.iloc[0] if len(metric_rows) else None
        has_difference = row is not None and row["difference"] == row["difference"]
        interval = (
            f"95 % interval {signed(row['low'])} to {signed(row['high'])} over "
            + {"both": "images and seeds"}.get(row["source"], str(row["source"]))
            if row is not None and row["low"] == row["low"]
            else "no interval: one seed"
        )
        result.append(
            Number(
                f"{stored.name_metric(metric)}, {other} − {base}"
                if other
                else stored.name_metric(metric),
                signed(row["difference"]) if has_difference and row is not None else "not measured",
                interval if has_difference else "",
            )
        )
    return [*result, _share_number(stored, base, other), _residual_number(stored)]


def _effect_number(stored: Stored, verdict: Mapping[str, Any]) -> Number:
    """Set what an intervention does to the metric that an explanation speaks of."""
    metric = stored.name_metric(str(verdict["metric"]))
    detail = str(verdict["verdict"])
    if verdict["low"] is not None:
        detail += (
            f"; 95 % interval {signed(verdict['low'])} to {signed(verdict['high'])} over images "
            "and seeds"
        )
    label = f"{metric}, {verdict['variant']} − {verdict['twin']}"
    return Number(label, signed(verdict["difference"]), detail)


def _share_number(stored: Stored, base: str, other: str) -> Number:
    """The largest size's share of the first stage's gradient, under both variants."""
    table = share_intervals(stored)
    tap = first_stage(table) if len(table) else ""
    name = stored.buckets[-1]
    label = f"{name} objects at {tap or 'C2'}: share of the squared gradient norm"
    if not tap:
        return Number(label, "not measured", "")
    lacking = absent_sizes(stored).get(name, [])
    if lacking and {base, other} - {""} <= {*lacking}:
        return Number(label, "–", f"no sample holds a {name} object")
    at = table[(table["tap"] == tap) & (table["bucket"] == name)].dropna(subset="share")
    places = {(row.variant, row.route): row for row in rows(at)}
    measured_variants = [v for v in (base, other) if (v, "total") in places]
    if not measured_variants:
        return Number(label, "not measured", "")
    totals = [places[variant, "total"] for variant in measured_variants]
    detail = " → ".join(measured_variants) + f", all routes, {measured_on(stored)}"
    if all(row.low == row.low for row in totals):
        detail += "; 95 %: " + " → ".join(
            f"{100 * row.low:.0f} to {100 * row.high:.0f}" for row in totals
        )
    frozen = name_frozen(pd.DataFrame(totals))
    if frozen:
        detail += f"; {frozen}"
    if (other, "direct") in places:
        detail += f"; directly {percent(places[other, 'direct'].share)}"
    return Number(label, " → ".join(f"{100 * row.share:.0f}" for row in totals) + " %", detail)


def _residual_number(stored: Stored) -> Number:
    label = "largest residual of the sums"
    table = residuals(stored)
    if table.empty:
        return Number(label, "not measured", "")
    residual_values = table[["loss", "gradient", "routes"]].to_numpy(float)
    residual_values = residual_values[np.isfinite(residual_values)]
    if not len(residual_values):
        return Number(label, "not measured", "")
    worst = float(residual_values.max())
    samples = int(table["samples"].sum())
    over = int(table["verdict"].isin([OVER, UNSOUND]).sum())
    held = f"{over} cells over tolerance" if over else "within tolerance"
    return Number(label, scientific(worst), f"{samples} samples, {held}")
