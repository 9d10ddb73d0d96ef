"""The few numbers of a sample that a training dashboard shows."""

import math

from fpnprobe.probing.sample import Sample
from fpnprobe.scales import ScaleBucket
from fpnprobe.statistics import evenness


def scalars(
    sample: Sample, buckets: tuple[ScaleBucket, ...], *, cost: float = math.nan
) -> dict[str, float]:
    """Scalars of the probe for visualizers: shares and norms by stage, residuals, cost.

    By stage: `probe/C3/index`, the all-object index, in [1/K, 1]; `probe/C3/large` and
    `probe/C3/direct/large`, the share of the largest bucket in all that arrives and in what comes
    directly, in [0, 1]; `probe/C3/norm`, the norm of the gradient at the stage. And
    `probe/residual` and `probe/cost`. Left out where the batch has no object of some bucket
    (index), where there is no gradient, and (all of a stage) where the sample does not hold.
    """
    names = [bucket.name for bucket in buckets]
    norms: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    values = {"probe/residual": sample.residuals.worst, "probe/cost": cost}
    for record in sample.records if sample.sound else ():
        if (record.kind, record.term) != ("activation", "all") or not record.tap.startswith("C"):
            continue
        if record.bucket in names and record.route in ("total", "direct"):
            energy = (record.l2 / (record.n_objects or math.nan)) ** 2
            norms_by_bucket = norms.setdefault((record.tap, record.route), {})
            norms_by_bucket[record.bucket] = (energy, record.share)
        if (record.bucket, record.route) == ("all", "total"):
            values[f"probe/{record.tap}/norm"] = record.l2
    for (tap, route), rows in norms.items():
        if route == "total":
            values[f"probe/{tap}/index"] = evenness([rows[name][0] for name in names])
            values[f"probe/{tap}/{names[-1]}"] = rows[names[-1]][1]
        else:
            values[f"probe/{tap}/{route}/{names[-1]}"] = rows[names[-1]][1]
    return {name: value for name, value in values.items() if math.isfinite(value)}
