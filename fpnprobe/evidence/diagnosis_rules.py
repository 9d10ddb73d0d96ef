"""The rules of `fpnprobe.evidence.diagnosis`, one function each."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from fpnprobe.evidence.findings import (
    AUXILIARY,
    CANCELLATION,
    CONFLICT,
    DIRECT_SHARE,
    FEWEST,
    INDEX,
    SMALL,
    STARVING,
    Energies,
    Finding,
    Floats,
    decide,
    index_of,
    percent,
)
from fpnprobe.ledger import Ledger

Rule = Callable[[str, Energies, Floats, Sequence[Ledger]], Finding]
_STUDY = "`fpnprobe init own`, then `fpnprobe run-study own --variants"


def check_soundness(
    variant: str, _energies: Energies, _draws: Floats, ledgers: Sequence[Ledger]
) -> Finding:
    """Do the sums of every sample hold?"""
    states = [ledger.frame.groupby("iteration")["state"].agg(set) for ledger in ledgers]
    samples = sum(len(each) for each in states)
    bad = sum(int(each.map(lambda s: "unsound" in s).sum()) for each in states)
    if not samples:
        return Finding(
            rule="soundness", variant=variant, verdict="not measured", sentence="no sample"
        )
    return Finding(
        rule="soundness",
        variant=variant,
        verdict="found" if bad else "clear",
        value=bad / samples,
        threshold=0.0,
        samples=samples,
        sentence=f"{bad} of {samples} samples of {variant} do not hold their sums"
        if bad
        else f"the sums of all {samples} samples of {variant} hold",
        advice="do not use them; the log of the training says what is likely missing"
        if bad
        else "",
    )


def check_frozen(
    variant: str, _energies: Energies, _draws: Floats, ledgers: Sequence[Ledger]
) -> Finding:
    """Does every backbone stage train?"""
    still: set[str] = set()
    known: set[str] = set()
    for ledger in ledgers:
        stages = ledger.frame[ledger.frame["tap"].str.fullmatch(r"C\d+")]
        known |= set(stages["tap"])
        still |= set(stages.loc[stages["state"] == "frozen", "tap"])
    names = ", ".join(sorted(still))
    return Finding(
        rule="frozen",
        variant=variant,
        stage=names,
        verdict="found" if still else "clear" if known else "not measured",
        value=len(still) / len(known) if known else float("nan"),
        threshold=0.0,
        samples=0,
        sentence=f"{names} of {variant} is frozen and learns nothing from this training"
        if still
        else f"every stage of {variant} trains",
        advice="set model.backbone.frozen_stages=0 to train and measure C2" if still else "",
    )


def check_direct_share(
    variant: str, energies: Energies, draws: Floats, _ledgers: Sequence[Ledger]
) -> Finding:
    """Do objects of the largest size reach the first trained stage directly?"""
    direct = energies.route("direct")
    name = energies.buckets[-1]
    if direct is None or not len(direct):
        return _unmeasured("direct-share", variant, "no direct route was measured")
    best: Finding | None = None
    for at, stage in enumerate(energies.stages):
        here = np.nan_to_num(direct[:, at])
        if not here.sum():
            continue
        value = float(here[:, -1].sum() / here.sum())
        whole = draws @ here
        shares = whole[:, -1] / whole.sum(1)
        verdict, low, high = decide(
            shares, value, DIRECT_SHARE, below=True, samples=_with(energies, -1)
        )
        other = _deeper_share(energies, at)
        through = f" (deeper stages bring {percent(other)})" if other == other else ""
        finding = Finding(
            rule="direct-share",
            variant=variant,
            stage=stage,
            verdict=verdict,
            value=value,
            low=low,
            high=high,
            threshold=DIRECT_SHARE,
            samples=_with(energies, -1),
            sentence=(
                f"{stage} of {variant} hears {name} objects through deeper stages alone: of what "
                f"comes directly they are {percent(value)}, interval {percent(low)} to "
                f"{percent(high)}{through}"
                if verdict == "found"
                else f"of what comes directly to {stage} of {variant}, {name} objects are "
                f"{percent(value)}"
            ),
            advice="try feature grouping across stages (FPN-CFG1) or an auxiliary head on "
            f"{stage} (FPN-Aux): {_STUDY} FPN,FPN-CFG1,FPN-Aux`"
            if verdict == "found"
            else "",
        )
        if best is None or _beyond(finding) > _beyond(best):
            best = finding
    return best or _unmeasured("direct-share", variant, "no direct route was measured")


def check_index(
    variant: str, energies: Energies, draws: Floats, _ledgers: Sequence[Ledger]
) -> Finding:
    """Does a stage hear all sizes alike by its direct route?"""
    direct = energies.route("direct")
    if direct is None or not len(direct):
        return _unmeasured("index", variant, "no direct route was measured")
    best: Finding | None = None
    ones = np.ones((1, len(direct)))
    for at, stage in enumerate(energies.stages):
        value = float(index_of(direct[:, at], energies.counts, ones)[0])
        if value != value:
            continue
        values = index_of(direct[:, at], energies.counts, draws)
        verdict, low, high = decide(values, value, INDEX, below=True, samples=len(direct))
        finding = Finding(
            rule="index",
            variant=variant,
            stage=stage,
            verdict=verdict,
            value=value,
            low=low,
            high=high,
            threshold=INDEX,
            samples=len(direct),
            sentence=f"the all-object index of what comes directly to {stage} of {variant} is "
            f"{value:.2f}, interval {low:.2f} to {high:.2f} (1: every object counts alike, "
            f"{1 / len(energies.buckets):.2f}: one size is heard)",
            advice="compare with a variant whose stages share supervision: "
            f"{_STUDY} FPN,FPN-AuxU,FPN-CFG2`"
            if verdict == "found"
            else "",
        )
        if best is None or _beyond(finding) > _beyond(best):
            best = finding
    return best or _unmeasured("index", variant, "no batch had objects of all sizes")


def check_cancellation(
    variant: str, energies: Energies, draws: Floats, _ledgers: Sequence[Ledger]
) -> Finding:
    """Do the direct and the deeper gradient of a size point against each other at a stage?"""
    total, direct, deeper = (energies.route(r) for r in ("total", "direct", "deeper"))
    if total is None or direct is None or deeper is None or "auxiliary" in energies.routes:
        return _unmeasured(
            "cancellation", variant, "needs exactly a direct and a deeper route at a stage"
        )
    best: Finding | None = None
    for at, stage in enumerate(energies.stages):
        for b, bucket in enumerate(energies.buckets):
            parts = [each[:, at, b] for each in (total, direct, deeper)]
            whole = [np.nan_to_num(part) for part in parts]
            if not (whole[1].sum() > 0 and whole[2].sum() > 0):
                continue
            value = float(_cosine(*(part.sum() for part in whole)))
            values = _cosine(*(draws @ part for part in whole))
            samples = _with(energies, b)
            verdict, low, high = decide(values, value, CANCELLATION, below=True, samples=samples)
            finding = Finding(
                rule="cancellation",
                variant=variant,
                stage=stage,
                verdict=verdict,
                value=value,
                low=low,
                high=high,
                threshold=CANCELLATION,
                samples=samples,
                sentence=f"at {stage} of {variant}, what {bucket} objects send directly and "
                f"through deeper stages has a cosine of {value:.2f}, interval {low:.2f} to "
                f"{high:.2f}",
                advice="cut one route in the backward pass and watch AP: "
                f"{_STUDY} FPN,FPN~cut-direct,FPN~cut-deeper`"
                if verdict == "found"
                else "",
            )
            if best is None or _beyond(finding) > _beyond(best):
                best = finding
    return best or _unmeasured("cancellation", variant, "no stage has both routes")


def check_conflict(
    variant: str, energies: Energies, _draws: Floats, ledgers: Sequence[Ledger]
) -> Finding:
    """Do two sizes pull a stage's parameters in opposite directions?"""
    frames = [ledger.conflict for ledger in ledgers]
    names = list(energies.buckets)
    best: Finding | None = None
    rows = [
        f[f["bucket_a"].isin(names) & f["bucket_b"].isin(names) & f["tap"].str.startswith("C")]
        for f in frames
    ]
    table = pd.concat(rows, ignore_index=True)
    for (tap, kind, a, b), part in table.groupby(
        ["tap", "kind", "bucket_a", "bucket_b"], sort=True
    ):
        cosines = part["cosine"].to_numpy(np.float64)
        draws = np.random.default_rng(0).integers(0, len(cosines), (1000, len(cosines)))
        value = float(cosines.mean())
        verdict, low, high = decide(
            cosines[draws].mean(1), value, CONFLICT, below=True, samples=len(cosines)
        )
        finding = Finding(
            rule="conflict",
            variant=variant,
            stage=str(tap),
            verdict=verdict,
            value=value,
            low=low,
            high=high,
            threshold=CONFLICT,
            samples=len(cosines),
            sentence=f"{a} and {b} objects have a cosine of {value:.2f} at the {kind}s of {tap} of "
            f"{variant}, interval {low:.2f} to {high:.2f}",
            advice="balance the sizes in the backward pass and watch AP: "
            f"{_STUDY} FPN,FPN~balanced`"
            if verdict == "found"
            else "",
        )
        if best is None or _beyond(finding) > _beyond(best):
            best = finding
    return best or _unmeasured("conflict", variant, "cosines are measured in mode full")


def check_starving(
    variant: str, energies: Energies, draws: Floats, _ledgers: Sequence[Ledger]
) -> Finding:
    """Is the objects' gradient at a stage a small part of that at the stage with most?"""
    total = energies.route("total")
    if total is None or not len(total):
        return _unmeasured("starving", variant, "no activation gradient was measured")
    sums = np.nan_to_num(total).sum(2)  # (samples, stages)
    trained = [at for at in range(sums.shape[1]) if np.isfinite(total[:, at]).any()]
    if len(trained) < 2:
        return _unmeasured("starving", variant, "fewer than two stages train")
    sums = sums[:, trained]
    least = int(np.argmin(sums.sum(0)))
    value = float(np.sqrt(sums.sum(0)[least] / sums.sum(0).max()))
    whole = draws @ sums
    with np.errstate(invalid="ignore"):
        values = np.sqrt(whole[:, least] / whole.max(1))
    verdict, low, high = decide(values, value, STARVING, below=True, samples=len(sums))
    stage = energies.stages[trained[least]]
    return Finding(
        rule="starving",
        variant=variant,
        stage=stage,
        verdict=verdict,
        value=value,
        low=low,
        high=high,
        threshold=STARVING,
        samples=len(sums),
        sentence=f"the norm of the objects' gradient at {stage} of {variant} is {percent(value)} "
        "of that at the stage with most",
        advice=f"give {stage} a supervision of its own: {_STUDY} FPN,FPN-Aux`"
        if verdict == "found"
        else "",
    )


def check_auxiliary(
    variant: str, energies: Energies, draws: Floats, _ledgers: Sequence[Ledger]
) -> Finding:
    """Does an auxiliary loss drown the smallest size at a stage?"""
    auxiliary, total = energies.route("auxiliary"), energies.route("total")
    if auxiliary is None or total is None:
        return _unmeasured("auxiliary", variant, "there is no auxiliary head")
    parts = [energies.route(r) for r in ("direct", "deeper", "auxiliary")]
    routes = np.stack([np.nan_to_num(p).sum(2) for p in parts if p is not None])
    best: Finding | None = None
    for at, stage in enumerate(energies.stages):
        if not np.nan_to_num(auxiliary[:, at]).sum():
            continue
        part = routes[-1, :, at].sum() / routes[:, :, at].sum()
        small = np.nan_to_num(total[:, at])
        value = float(small[:, 0].sum() / small.sum())
        whole = draws @ small
        verdict, low, high = decide(
            whole[:, 0] / whole.sum(1), value, SMALL, below=True, samples=_with(energies, 0)
        )
        if part <= AUXILIARY and verdict in ("found", "undecided"):
            verdict = "clear"
        finding = Finding(
            rule="auxiliary",
            variant=variant,
            stage=stage,
            verdict=verdict,
            value=value,
            low=low,
            high=high,
            threshold=SMALL,
            samples=_with(energies, 0),
            sentence=f"the auxiliary head brings {percent(part)} of the squared norms that arrive "
            f"at {stage} of {variant}, and {energies.buckets[0]} objects are {percent(value)} of "
            f"its gradient, interval {percent(low)} to {percent(high)}",
            advice="lower the auxiliary loss or weigh it by uncertainty: "
            f"{_STUDY} FPN-Aux,FPN-AuxU`"
            if verdict == "found"
            else "",
        )
        if best is None or _beyond(finding) > _beyond(best):
            best = finding
    return best or _unmeasured("auxiliary", variant, "no auxiliary head reaches a stage")


RULES: tuple[Rule, ...] = (
    check_soundness,
    check_frozen,
    check_direct_share,
    check_index,
    check_cancellation,
    check_conflict,
    check_starving,
    check_auxiliary,
)


def _unmeasured(rule: str, variant: str, why: str) -> Finding:
    return Finding(rule=rule, variant=variant, verdict="not measured", sentence=why)


def _with(energies: Energies, bucket: int) -> int:
    """Samples with objects of a size; all where nobody counted."""
    counts = energies.counts[:, bucket]
    return int(((counts > 0) | (counts < 0)).sum())


def _beyond(finding: Finding) -> tuple[int, float]:
    """How far a finding is beyond its threshold: what a variant's rule reports is the worst."""
    rank = {"found": 3, "undecided": 2, "clear": 1, "not measured": 0}[finding.verdict]
    if rank == 2 and finding.samples < FEWEST:
        rank = 1
    return rank, finding.threshold - finding.value


def _cosine(total: Floats, direct: Floats, deeper: Floats) -> Floats:
    """Cosine between two parts whose sum is the total, from squared lengths."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (total - direct - deeper) / (2 * np.sqrt(direct * deeper))
    clipped: Floats = np.clip(found, -1, 1)
    return clipped


def _deeper_share(energies: Energies, stage: int) -> float:
    deeper = energies.route("deeper")
    if deeper is None:
        return float("nan")
    here = np.nan_to_num(deeper[:, stage]).sum(0)
    return float(here[-1] / here.sum()) if here.sum() else float("nan")
