"""Warnings on top of the report: what a careful reader must know before believing a number."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fpnprobe.figures.columns import rows, split
from fpnprobe.report.sections.soundness import OVER, UNAUDITED, UNSOUND, residuals
from fpnprobe.report.sections.training.training_losses import warn_of_stuck
from fpnprobe.report.tables.average_precision import final
from fpnprobe.report.tables.gradient_shares import absent_sizes
from fpnprobe.report.tables.share_intervals import FEW, share_intervals
from fpnprobe.report.tables.stored import Stored
from fpnprobe.scales import COCO_BUCKETS

FEW_IMAGES = 500
LOW_AP = 5.0  # points; below it a detector has found next to nothing yet


def finds_nothing(stored: Stored) -> bool:
    """Tell whether AP was measured and is 0 everywhere."""
    values = final(stored)["value"].dropna()
    return bool(len(values) and values.max() <= 0)


def warnings(stored: Stored) -> list[str]:
    """List what a careful reader must know before believing a number."""
    result = list(stored.holes)
    if stored.iou_type == "segm":
        result.append("AP is that of masks: IoU is measured between masks, not between boxes.")
    if finds_nothing(stored) and stored.is_of_runs and len(stored.variants) == 1:
        result.append(
            "No object was found: AP is 0.0, as after a training of a few steps. The figures of AP "
            "are left out."
        )
    elif finds_nothing(stored):
        result.append(
            "No cell finds anything: AP is 0.0 everywhere, as after a training of a few steps. The "
            "differences between variants say nothing."
        )
    if lowest := _warn_of_low_precision(stored):
        result.append(lowest)
    if stuck := warn_of_stuck(stored):
        result.append(stuck)
    result += _warn_of_absent_sizes(stored)
    seeds = {v: len({c.seed for c in stored.done if c.variant == v}) for v in stored.variants}
    single = [name for name, count in seeds.items() if count == 1]
    if single:
        result.append(
            f"One seed for {', '.join(single)}: the spread between seeds is unknown, and is "
            "easily larger than a difference of one or two points."
        )
    images = {
        counts[1]
        for cell in stored.done
        if isinstance(
            counts := (cell.manifest.get("data") or {}).get("images")
            or cell.manifest.get("images"),
            list,
        )
        and len(counts) > 1
    }
    few = [count for count in images if count < FEW_IMAGES]
    if few:
        result.append(f"Few images: AP was evaluated on {min(few)} images.")
    sampled = share_intervals(stored)
    if len(sampled) and 0 < (least := int(sampled["samples"].min())) < FEW:
        result.append(
            f"Few samples: shares of the gradient rest on {least} "
            + ("batches of images." if stored.measures_ends else "probed steps a training.")
        )
    table = residuals(stored)
    problems = {
        (cell.variant, cell.seed): str((cell.manifest.get("probe") or {}).get("problem") or "")
        for cell in stored.cells
    }
    for row in rows(table):
        name = f"{row.variant}, seed {row.seed}"
        problem = problems.get((row.variant, row.seed), "")
        if row.verdict == OVER:
            result.append(
                f"{name}: a residual is over its tolerance of {row.tolerance:.0e}; do not use "
                "its gradient numbers."
            )
        elif row.verdict == UNAUDITED:
            result.append(f"{name}: no sample was audited; its sums are unproven.")
        elif row.verdict == UNSOUND:
            result.append(f"{name}: no sample holds; its gradients are shown nowhere. {problem}")
        if row.unsound and row.verdict != UNSOUND:
            result.append(
                f"{name}: {row.unsound} of {row.samples} samples do not hold and are left out. "
                f"{problem}".strip()
            )
        if row.underflow:
            result.append(
                f"{name}: in {row.underflow} samples float16 could not hold some bucket's "
                "gradient; those are left out."
            )
        if row.nonfinite:
            result.append(f"{name}: {row.nonfinite} samples were not finite and are left out.")
    shares = stored.gradients.shares
    if not shares.empty:
        still = shares[shares["state"].isin(("frozen", "would_arrive"))]
        taps: dict[str, list[str]] = {}
        for variant, rows_of_variant in split(still, "variant"):
            taps.setdefault(", ".join(sorted(set(rows_of_variant["tap"]))), []).append(variant)
        result += [
            f"Frozen: no gradient trains the parameters of {names} in {', '.join(variants)}."
            for names, variants in taps.items()
        ]
        arriving = shares[shares["state"] == "would_arrive"]
        if not arriving.empty:
            names = ", ".join(sorted(set(arriving["tap"])))
            result.append(
                f"What is shown of {names} there is what would arrive: it trains nothing. The "
                "paper's ResNets have the stage that makes C2 frozen as well, so no loss of any "
                f"level trained it; train it ({_name_fix(stored)}) to test its explanation."
            )
    for cell in stored.done:
        probe = cell.manifest.get("probe") or {}
        cost, budget = probe.get("cost"), probe.get("budget")
        if isinstance(cost, float) and isinstance(budget, float) and cost > budget:
            result.append(
                f"{cell.variant}, seed {cell.seed}: the probe cost {100 * cost:.2f} % of the step, "
                f"over its budget of {100 * budget:.2f} %{_explain_cost(probe, budget)}."
            )
    return grouped(result)


def _warn_of_low_precision(stored: Stored) -> str:
    """Say where every AP is so low that hardly anything was learned; "" elsewhere."""
    table = final(stored)
    values = table.loc[table["metric"] == "AP", "value"].dropna()
    if values.empty or not 0 < values.max() < LOW_AP:
        return ""
    return (
        f"Hardly trained: AP is {values.max():.1f} at most. How variants differ so early says "
        "little about how they end: train longer."
    )


def _warn_of_absent_sizes(stored: Stored) -> list[str]:
    """Name the sizes of which no sample has an object: they have no share."""
    count = " `fpnprobe data check DIR` counts sizes."
    absent = absent_sizes(stored)
    lines = []
    for bucket in stored.scale_buckets:
        variants = absent.get(bucket.name)
        if not variants:
            continue
        everywhere = len(variants) == stored.stage_gradients.shares["variant"].nunique()
        of = "" if everywhere else f" of {', '.join(variants)}"
        lines.append(
            f"No sample{of} holds a {bucket.name} "
            f"object ({bucket.describe_bounds()}): no share of {bucket.name} objects exists."
            + (count if stored.scale_buckets == COCO_BUCKETS else "")
        )
    return lines


def _name_fix(stored: Stored) -> str:
    """The setting that trains the first stage, in a study or of `fpnprobe train`."""
    if stored.is_of_runs:
        return "--cfg-options model.backbone.frozen_stages=0"
    return "detector.frozen_stages=0"


def _explain_cost(probe: Mapping[str, Any], budget: float) -> str:
    """Say how long a training keeps the budget, where few samples were taken."""
    extra, step, samples = (probe.get(name) for name in ("extra_s", "step_s", "samples"))
    if not extra or not step or not samples or int(samples) > 2:
        return ""
    least = math.ceil(float(extra) / (budget * float(step)))
    return f": the first sample is always taken; a training of some {least} iterations keeps it"


def grouped(lines: Sequence[str]) -> list[str]:
    """The same warning of several cells becomes one line that names them.

    >>> grouped(["A, seed 0 failed", "few images", "A, seed 1 failed", "B, seed 0 failed"])
    ['A, seeds 0, 1; B, seed 0 failed', 'few images']
    """
    groups: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        match = re.fullmatch(r"(.+), seed (\d+)([ :].*)", line)
        variant, seed, message = match.groups() if match else ("", "", line)
        groups.setdefault(message, {}).setdefault(variant, []).append(seed)
    result = []
    for message, cells in groups.items():
        cell_names = (
            f"{v}, seed{'s' * (len(s) > 1)} {', '.join(s)}" for v, s in cells.items() if v
        )
        result.append("; ".join(cell_names) + message)
    return result
