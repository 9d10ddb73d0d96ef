"""The few numbers of a sample that a training dashboard shows."""

import math

from fpnprobe.probing.sample import Sample
from fpnprobe.scales import ScaleBucket
from fpnprobe.statistics import evenness


def scalars(sample: Sample, buckets: tuple[ScaleBucket, ...]) -> dict[str, float]:
    """All-object index, and share of the largest bucket, of each stage's activation gradient.

    `probe/C3/index` is in [1/K, 1], `probe/C3/large` in [0, 1]; a stage is left out where the
    batch has no object of some bucket (index), or no gradient.
    """
    names = [bucket.name for bucket in buckets]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for record in sample.records:
        place = (record.kind, record.route, record.term) == ("activation", "total", "all")
        if place and record.tap.startswith("C") and record.bucket in names:
            objects = record.n_objects or math.nan
            energy = (record.l2 / objects) ** 2
            found.setdefault(record.tap, {})[record.bucket] = (energy, record.share)
    shown = {}
    for tap, rows in found.items():
        shown[f"probe/{tap}/index"] = evenness([rows[name][0] for name in names])
        shown[f"probe/{tap}/{names[-1]}"] = rows[names[-1]][1]
    return {name: value for name, value in shown.items() if math.isfinite(value)}
