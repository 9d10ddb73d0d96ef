"""What stands on top: the answer in a sentence, the four numbers that matter, the warnings."""

from collections.abc import Mapping, Sequence
from typing import Any

from fpnprobe.figures.columns import split
from fpnprobe.report.claims import tally
from fpnprobe.report.content import Number, scientific, signed
from fpnprobe.report.results import compared, focus
from fpnprobe.report.shares import stage_shares
from fpnprobe.report.soundness import residuals
from fpnprobe.report.stored import Stored

FEW_IMAGES = 500


def answer(stored: Stored, claims: Sequence[Mapping[str, Any]]) -> str:
    """The measured directions, and how the paper's claims fared, in a sentence."""
    base, other = focus(stored)
    table = compared(stored)
    rows = table[table["variant"] == other].set_index("metric")["difference"].to_dict()
    parts = [
        f"{metric} {'rises' if rows[metric] > 0 else 'falls'} by {abs(rows[metric]):.1f} points"
        for metric in ("AP_S", "AP_L")
        if rows.get(metric) == rows.get(metric) and metric in rows
    ]
    if not parts:
        return "Not answered yet: no pair of variants has been evaluated."
    fared = tally(claims)
    said = ", ".join(f"{count} {verdict}" for verdict, count in fared.items())
    verdict = (
        f" Of the {sum(fared.values())} claims of the paper that this study can test: {said}."
        if fared
        else ""
    )
    return f"From {base} to {other}, {' and '.join(parts)}; the cause is not claimed.{verdict}"


def numbers(stored: Stored) -> list[Number]:
    """AP_S and AP_L against the baseline, the large objects' share at C2, the worst residual."""
    base, other = focus(stored)
    result = []
    table = compared(stored)
    for metric in ("AP_S", "AP_L"):
        rows = table[(table["variant"] == other) & (table["metric"] == metric)]
        row = rows.iloc[0] if len(rows) else None
        known = row is not None and row["difference"] == row["difference"]
        interval = (
            f"95 % interval {signed(row['low'])} to {signed(row['high'])}"
            if row is not None and row["low"] == row["low"]
            else "no interval: one seed"
        )
        result.append(
            Number(
                f"{metric}, {other} − {base}" if other else metric,
                signed(row["difference"]) if known and row is not None else "not measured",
                interval if known else "",
            )
        )
    return [*result, _share(stored, base, other), _residual(stored)]


def _share(stored: Stored, base: str, other: str) -> Number:
    label = "large-object share of the gradient at C2"
    table = stage_shares(stored)
    if table.empty:
        return Number(label, "not measured", "")
    last = list(dict.fromkeys(table["bucket"]))[-1]
    at = table[(table["tap"] == "C2") & (table["bucket"] == last)]
    value = at.set_index(["variant", "route"])["share"].to_dict()
    label = f"{last}-object share of the gradient at C2"
    here, there = value.get((base, "total")), value.get((other, "total"))
    if here is None or here != here:
        return Number(label, "not measured", "")
    if there is None or there != there:
        return Number(label, f"{100 * here:.0f} %", base)
    direct = value.get((other, "direct"))
    detail = f"{base} → {other}, all routes"
    if direct is not None and direct == direct:
        detail += f"; directly {100 * direct:.0f} %"
    return Number(label, f"{100 * here:.0f} → {100 * there:.0f} %", detail)


def _residual(stored: Stored) -> Number:
    label = "largest residual of the sums"
    table = residuals(stored)
    if table.empty:
        return Number(label, "not measured", "")
    worst = float(table[["loss", "gradient", "routes"]].to_numpy(float).max())
    samples = int(table["samples"].sum())
    over = int((table["verdict"] != "holds").sum())
    held = f"{over} cells over tolerance" if over else "within tolerance"
    return Number(label, scientific(worst), f"{samples} samples, {held}")


def warnings(stored: Stored) -> list[str]:
    """What a careful reader must know before believing a number."""
    result = list(stored.holes)
    seeds = {v: len({c.seed for c in stored.done if c.variant == v}) for v in stored.variants}
    single = [name for name, count in seeds.items() if count == 1]
    if single:
        result.append(
            f"One seed for {', '.join(single)}: the spread between seeds is unknown, and is "
            "easily larger than a difference of one or two points."
        )
    images = {
        given[1]
        for cell in stored.done
        if isinstance(given := (cell.manifest.get("data") or {}).get("images"), list)
        and len(given) > 1
    }
    few = [count for count in images if count < FEW_IMAGES]
    if few:
        result.append(f"Few images: AP was evaluated on {min(few)} images.")
    table = residuals(stored)
    if not table.empty:
        result += [
            f"{row.variant}, seed {row.seed}: a residual is over its tolerance of "
            f"{row.tolerance:.0e}; do not use its gradient numbers."
            for row in table[table["verdict"] != "holds"].itertuples()
        ]
    shares = stored.gradients.shares
    if not shares.empty:
        still = shares[shares["state"] == "frozen"]
        taps: dict[str, list[str]] = {}
        for variant, rows in split(still, "variant"):
            taps.setdefault(", ".join(sorted(set(rows["tap"]))), []).append(variant)
        result += [
            f"Frozen: no gradient trains the parameters of {names} in {', '.join(variants)}."
            for names, variants in taps.items()
        ]
    for cell in stored.done:
        probe = cell.manifest.get("probe") or {}
        cost, budget = probe.get("cost"), probe.get("budget")
        if isinstance(cost, float) and isinstance(budget, float) and cost > budget:
            result.append(
                f"{cell.variant}, seed {cell.seed}: the probe cost {100 * cost:.1f} % of the step, "
                f"over its budget of {100 * budget:.1f} %."
            )
    return result
