"""Rules about directions: between the routes of one size, and between two sizes."""

import numpy as np
import pandas as pd

from fpnprobe.evidence.findings import CANCELLATION, CONFLICT, Floats, Verdict, interval
from fpnprobe.evidence.rules.rule import STUDY, Candidate, Rule, Subject

_RESAMPLES = 1000


def measure_cancellation(subject: Subject) -> list[Candidate] | str:
    """Measure the cosine between the direct and the deeper gradient of each size at each stage."""
    energies, variant = subject.energies, subject.variant
    total, direct, deeper = (energies.route(name) for name in ("total", "direct", "deeper"))
    if total is None or direct is None or deeper is None or "auxiliary" in energies.routes:
        return "needs exactly a direct and a deeper route at a stage"
    candidates = []
    for at, stage in enumerate(energies.stages):
        for number, bucket in enumerate(energies.buckets):
            squares = [np.nan_to_num(energy[:, at, number]) for energy in (total, direct, deeper)]
            if not (squares[1].sum() > 0 and squares[2].sum() > 0):
                continue
            value = float(_cosine_of_parts(*(energy.sum() for energy in squares)))

            def describe(
                _verdict: Verdict,
                low: float,
                high: float,
                stage: str = stage,
                bucket: str = bucket,
                value: float = value,
            ) -> str:
                return (
                    f"at {stage} of {variant}, what {bucket} objects send directly and through "
                    f"deeper stages has a cosine of {value:.2f}{interval(low, high)}"
                )

            candidates.append(
                Candidate(
                    stage=stage,
                    value=value,
                    resampled=_cosine_of_parts(*(subject.draws @ energy for energy in squares)),
                    samples=subject.count_samples_with(number),
                    describe=describe,
                    advice="cut one route in the backward pass and watch AP: "
                    f"{STUDY} FPN,FPN~cut-direct,FPN~cut-deeper`",
                )
            )
    return candidates or "no stage has both routes"


def measure_conflict(subject: Subject) -> list[Candidate] | str:
    """Measure whether two sizes pull a stage's parameters in opposite directions."""
    variant, names = subject.variant, list(subject.energies.buckets)
    frames = [ledger.conflict for ledger in subject.ledgers]
    table = pd.concat(
        [
            frame[
                frame["bucket_a"].isin(names)
                & frame["bucket_b"].isin(names)
                & frame["tap"].str.startswith("C")
            ]
            for frame in frames
        ],
        ignore_index=True,
    )
    candidates = []
    for (tap, kind, a, b), rows in table.groupby(
        ["tap", "kind", "bucket_a", "bucket_b"], sort=True
    ):
        cosines = rows["cosine"].to_numpy(np.float64)
        draws = np.random.default_rng(0).integers(0, len(cosines), (_RESAMPLES, len(cosines)))
        value = float(cosines.mean())
        gradient_name = f"the {kind}s of {tap} of {variant}"

        def describe(
            _verdict: Verdict,
            low: float,
            high: float,
            sizes: str = f"{a} and {b}",
            value: float = value,
            gradient_name: str = gradient_name,
        ) -> str:
            return (
                f"{sizes} objects have a cosine of {value:.2f} at {gradient_name}"
                f"{interval(low, high)}"
            )

        candidates.append(
            Candidate(
                stage=str(tap),
                value=value,
                resampled=cosines[draws].mean(1),
                samples=len(cosines),
                describe=describe,
                advice="balance the sizes in the backward pass and watch AP: "
                f"{STUDY} FPN,FPN~balanced`",
            )
        )
    return candidates or "cosines are measured in mode full"


def _cosine_of_parts(total: Floats, direct: Floats, deeper: Floats) -> Floats:
    """Cosine between two parts whose sum is the total, from squared lengths."""
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (total - direct - deeper) / (2 * np.sqrt(direct * deeper))
    clipped: Floats = np.clip(cosine, -1, 1)
    return clipped


CANCELLATION_RULE = Rule("cancellation", CANCELLATION, measure_cancellation)
CONFLICT_RULE = Rule("conflict", CONFLICT, measure_conflict)
