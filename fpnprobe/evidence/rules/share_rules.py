"""Rules about shares of the squared gradient norm: of a size, of a stage, of an auxiliary head."""

import numpy as np

from fpnprobe.evidence.findings import (
    AUXILIARY,
    DIRECT_SHARE,
    INDEX,
    SMALL,
    STARVING,
    Energies,
    Verdict,
    index_of,
    interval,
    percent,
)
from fpnprobe.evidence.rules.rule import STUDY, Candidate, Rule, Subject, share_of


def measure_direct_share(subject: Subject) -> list[Candidate] | str:
    """Measure whether objects of the largest size reach a stage directly."""
    energies, variant = subject.energies, subject.variant
    direct, bucket = energies.route("direct"), energies.buckets[-1]
    if direct is None or not len(direct):
        return "no direct route was measured"
    if subject.lacks_objects(-1):
        return f"no sample holds a {bucket} object"
    candidates = []
    for at, stage in enumerate(energies.stages):
        squares = np.nan_to_num(direct[:, at])
        if not squares.sum():
            continue
        value = float(share_of(squares.sum(0), -1))
        deeper = _deeper_share(energies, at)
        through = f" (deeper stages bring {percent(deeper)})" if deeper == deeper else ""

        def describe(
            verdict: Verdict,
            low: float,
            high: float,
            stage: str = stage,
            value: float = value,
            through: str = through,
        ) -> str:
            if verdict != "found":
                return (
                    f"of what comes directly to {stage} of {variant}, {bucket} objects are "
                    f"{percent(value)}"
                )
            return (
                f"{stage} of {variant} hears {bucket} objects through deeper stages alone: of what "
                f"comes directly they are {percent(value)}{interval(low, high, percent)}{through}"
            )

        candidates.append(
            Candidate(
                stage=stage,
                value=value,
                resampled=share_of(subject.draws @ squares, -1),
                samples=subject.count_samples_with(-1),
                describe=describe,
                advice="try feature grouping across stages (FPN-CFG1) or an auxiliary head on "
                f"{stage} (FPN-Aux): {STUDY} FPN,FPN-CFG1,FPN-Aux`",
            )
        )
    return candidates or "no direct route was measured"


def measure_index(subject: Subject) -> list[Candidate] | str:
    """Measure whether a stage hears all sizes alike by its direct route."""
    energies, variant = subject.energies, subject.variant
    direct = energies.route("direct")
    if direct is None or not len(direct):
        return "no direct route was measured"
    candidates = []
    for at, stage in enumerate(energies.stages):
        value = float(index_of(direct[:, at], energies.counts, np.ones((1, len(direct))))[0])
        if value != value:
            continue

        def describe(
            _verdict: Verdict, low: float, high: float, stage: str = stage, value: float = value
        ) -> str:
            return (
                f"the all-object index of what comes directly to {stage} of {variant} is "
                f"{value:.2f}{interval(low, high)} (1: every object counts alike, "
                f"{1 / len(energies.buckets):.2f}: one size is heard)"
            )

        candidates.append(
            Candidate(
                stage=stage,
                value=value,
                resampled=index_of(direct[:, at], energies.counts, subject.draws),
                samples=len(direct),
                describe=describe,
                advice="compare with a variant whose stages share supervision: "
                f"{STUDY} FPN,FPN-AuxU,FPN-CFG2`",
            )
        )
    return candidates or "no batch had objects of all sizes"


def measure_starving(subject: Subject) -> list[Candidate] | str:
    """Measure the stage whose objects' gradient is smallest against the one with most."""
    energies, variant = subject.energies, subject.variant
    total = energies.route("total")
    if total is None or not len(total):
        return "no activation gradient was measured"
    trained = [at for at in range(total.shape[1]) if np.isfinite(total[:, at]).any()]
    if len(trained) < 2:
        return "fewer than two stages train"
    squares = np.nan_to_num(total).sum(2)[:, trained]  # (samples, stages)
    sums = squares.sum(0)
    least = int(np.argmin(sums))
    stage, value = energies.stages[trained[least]], float(np.sqrt(sums[least] / sums.max()))
    resampled = subject.draws @ squares
    with np.errstate(invalid="ignore"):
        values = np.sqrt(resampled[:, least] / resampled.max(1))
    return [
        Candidate(
            stage=stage,
            value=value,
            resampled=values,
            samples=len(squares),
            describe=lambda _verdict, _low, _high: (
                f"the norm of the objects' gradient at {stage} of {variant} is {percent(value)} "
                "of that at the stage with most"
            ),
            advice=f"give {stage} a supervision of its own: {STUDY} FPN,FPN-Aux`",
        )
    ]


def measure_auxiliary(subject: Subject) -> list[Candidate] | str:
    """Measure whether an auxiliary loss drowns the smallest size at a stage."""
    energies, variant = subject.energies, subject.variant
    auxiliary, total = energies.route("auxiliary"), energies.route("total")
    if auxiliary is None or total is None:
        return "there is no auxiliary head"
    if subject.lacks_objects(0):
        return f"no sample holds a {energies.buckets[0]} object"
    by_route = [energies.route(name) for name in ("direct", "deeper", "auxiliary")]
    routes = np.stack([np.nan_to_num(route).sum(2) for route in by_route if route is not None])
    candidates = []
    for at, stage in enumerate(energies.stages):
        if not np.nan_to_num(auxiliary[:, at]).sum():
            continue
        brought = float(routes[-1, :, at].sum() / routes[:, :, at].sum())
        squares = np.nan_to_num(total[:, at])
        value = float(share_of(squares.sum(0), 0))

        def describe(
            _verdict: Verdict,
            low: float,
            high: float,
            stage: str = stage,
            value: float = value,
            brought: float = brought,
        ) -> str:
            return (
                f"the auxiliary head brings {percent(brought)} of the squared norms that arrive "
                f"at {stage} of {variant}, and {energies.buckets[0]} objects are {percent(value)} "
                f"of its gradient{interval(low, high, percent)}"
            )

        candidates.append(
            Candidate(
                stage=stage,
                value=value,
                resampled=share_of(subject.draws @ squares, 0),
                samples=subject.count_samples_with(0),
                describe=describe,
                advice="lower the auxiliary loss or weigh it by uncertainty: "
                f"{STUDY} FPN-Aux,FPN-AuxU`",
                is_harmless=brought <= AUXILIARY,
            )
        )
    return candidates or "no auxiliary head reaches a stage"


def _deeper_share(energies: Energies, stage: int) -> float:
    """Share of the largest size in what deeper stages bring; NaN where there is nothing."""
    deeper = energies.route("deeper")
    if deeper is None:
        return float("nan")
    return float(share_of(np.nan_to_num(deeper[:, stage]).sum(0), -1))


DIRECT_SHARE_RULE = Rule("direct-share", DIRECT_SHARE, measure_direct_share)
INDEX_RULE = Rule("index", INDEX, measure_index)
STARVING_RULE = Rule("starving", STARVING, measure_starving)
AUXILIARY_RULE = Rule("auxiliary", SMALL, measure_auxiliary)
