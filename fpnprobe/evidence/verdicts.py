"""Verdicts on predicted directions from intervals, with the correction for many of them.

Used for the paper's printed differences (`fpnprobe.evidence.claims`) and for its explanations
(`fpnprobe.evidence.explanations`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from scipy import stats

Verdict = Literal["reproduced", "contradicted", "undecided", "not run"]

EQUAL = 0.5  # AP points within which a difference counts as none
ONE_SEED = "one seed: how much training itself varies is unknown"


@dataclass(frozen=True, slots=True)
class MeasuredDifference:
    """A difference of two variants over all their common seeds, in AP points.

    Attributes:
        difference: Variant minus baseline, the mean over seeds.
        low: Lower end of the 95 % interval.
        high: Upper end.
        covers: `both` (seeds and images) or, with one seed, `images`.
        seeds: How many each side has.
    """

    difference: float
    low: float
    high: float
    covers: str
    seeds: int

    @property
    def p_value(self) -> float:
        """The two-sided p of a difference of 0; NaN with one seed or without an interval.

        From the half of the interval that points to 0, by Student's t with one degree of freedom
        less than seeds: below 0.05 where the interval excludes 0, and larger than a bootstrap's own
        p further out.
        """
        if self.seeds < 2 or self.low != self.low:
            return float("nan")
        half = self.difference - self.low if self.difference > 0 else self.high - self.difference
        if half <= 0:
            return 0.0 if self.difference else 1.0
        freedom = self.seeds - 1
        t = abs(self.difference) / half * stats.t.ppf(0.975, freedom)
        return float(2 * stats.t.sf(t, freedom))


def direction(value: float) -> int:
    """The side of a printed difference in AP points: -1, +1, or 0 where it counts as none.

    >>> direction(-1.1), direction(0.5), direction(2.1)
    (-1, 0, 1)
    """
    return 0 if abs(value) <= EQUAL else (1 if value > 0 else -1)


def judge_interval(*, predicted: int, low: float, high: float) -> Verdict:
    """The verdict of a 95 % interval, in AP points, on a predicted direction.

    A direction is reproduced if the interval excludes 0 on its side, contradicted if it excludes 0
    on the other. No change (0) is reproduced if the interval lies within `EQUAL` of 0, contradicted
    if it lies wholly beyond.

    >>> judge_interval(predicted=1, low=0.4, high=3.0), judge_interval(predicted=1, low=-3, high=-1)
    ('reproduced', 'contradicted')
    >>> judge_interval(predicted=1, low=-1, high=3), judge_interval(predicted=0, low=-0.3, high=0.2)
    ('undecided', 'reproduced')
    """
    if predicted == 0:
        if max(abs(low), abs(high)) <= EQUAL:
            return "reproduced"
        return "contradicted" if low > EQUAL or high < -EQUAL else "undecided"
    if low > 0 or high < 0:
        return "reproduced" if (low > 0) == (predicted > 0) else "contradicted"
    return "undecided"


def find_difference(
    table: pd.DataFrame, *, variant: str, baseline: str, metric: str
) -> MeasuredDifference | None:
    """Look a difference up in a comparison table, turned where it stands the other way round."""
    if table.empty:
        return None
    table = table[(table["seed"] == "all") & (table["metric"] == metric)]
    for above, below, sign in ((variant, baseline, 1), (baseline, variant, -1)):
        rows_of_pair = table[(table["variant"] == above) & (table["baseline"] == below)]
        by_source: dict[str, Mapping[Any, Any]] = {
            str(row["source"]): row for row in rows_of_pair.to_dict("records")
        }
        if by_source:
            seeds = int(by_source["images"]["n_seeds"])
            covers = "both" if seeds > 1 else "images"
            row = by_source[covers]
            low, high = sorted(100 * sign * float(row[key]) for key in ("low", "high"))
            difference = 100 * sign * float(row["difference"])
            return MeasuredDifference(difference, low, high, covers, seeds)
    return None


def judge_difference(
    measured: MeasuredDifference, *, predicted: int, metric: str
) -> tuple[Verdict, str]:
    """The verdict on a measured difference, and a note where none can be given."""
    if measured.low != measured.low:
        return "not run", f"{metric} could not be evaluated"
    if measured.seeds < 2:
        return "undecided", ONE_SEED
    return judge_interval(predicted=predicted, low=measured.low, high=measured.high), ""


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of p values; NaN stays NaN and is not counted.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.

    >>> holm([0.01, float("nan"), 0.04, 0.03])
    [0.03, nan, 0.06, 0.06]
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if p == p)
    adjusted = [float("nan")] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = highest
    return adjusted
