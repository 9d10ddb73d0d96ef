"""Does what goes with AP in one study foretell AP in another one, of variants held back?

A line is fitted to the variants of one study (the change of AP over a gradient measure at a stage
and route, means over seeds) and set against the variants that only another study has; or, where
these are fewer than three, against all variants of the other study, whose data are others. Nothing
of the other study is looked at before.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fpnprobe.statistics import Floats, percentile_interval, rank_correlation

QUANTITY = ("ledger", "measure", "tap", "kind", "route", "metric")
FEWEST = 5  # variants to fit a line to; and held back, 3
_FEWEST_HELD_BACK = 3
_RESAMPLES = 2000
COLUMNS = [
    "fitted", "tested", "fresh", *QUANTITY, "variants", "held_back", "rho", "rho_held_back",
    "skill", "low", "high", "chosen",
]  # fmt: skip


def predict_held_back(points: pd.DataFrame) -> pd.DataFrame:
    """Fit on the first study, test on each other one.

        skill = 1 - sum (y - line(x))^2 / min(sum (y - mean of the fitted)^2, sum y^2)

    over the variants held back: 1 where the line foretells them, 0 where it says no more than the
    better of two constants, the mean change of the fitted variants and no change at all, below 0
    where it misleads. The second one matters where changes are smaller in the other study. The
    interval is a percentile bootstrap over the variants held back, 95 %.

    Args:
        points: One row for each cell and quantity: study, name (of the variant), the columns of
            `QUANTITY`, value and change (of AP, to the study's own baseline).

    Returns:
        One row for each quantity that both studies have: fitted, tested (studies), fresh (whether
        no variant held back was fitted), the quantity, variants, held_back (numbers), rho,
        rho_held_back (Spearman), skill, low, high, and chosen: the clearest rho (the smallest p,
        since not every variant has every quantity) for that metric among the fitted, the first
        of equal ones.
    """
    studies = list(dict.fromkeys(points["study"]))
    rows = [
        {
            "fitted": studies[0],
            "tested": tested,
            **dict(zip(QUANTITY, key, strict=True)),
            **row,
        }
        for tested in studies[1:]
        for key, fit, held_back in _pair_parts(points, studies[0], tested)
        if (row := _judge_prediction(fit, held_back))
    ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "p"])
    best = table["p"].groupby([table["tested"], table["metric"]]).idxmin()
    return table.assign(chosen=table.index.isin(best))[COLUMNS]


def _pair_parts(
    points: pd.DataFrame, fitted: str, tested: str
) -> Iterator[tuple[tuple[str, ...], pd.DataFrame, pd.DataFrame]]:
    means = points.groupby(["study", "name", *QUANTITY], sort=False)[["value", "change"]].mean()
    for quantity, group in means.reset_index().groupby(list(QUANTITY), sort=False):
        fit = group[group["study"] == fitted]
        tested_rows = group[group["study"] == tested]
        fresh = tested_rows[~tested_rows["name"].isin(fit["name"])]
        held_back = tested_rows if len(fresh) < _FEWEST_HELD_BACK else fresh
        yield tuple(map(str, quantity)), fit, held_back


def _judge_prediction(fit: pd.DataFrame, held_back: pd.DataFrame) -> dict[str, object]:
    varies = len(fit) >= FEWEST and len(held_back) >= _FEWEST_HELD_BACK
    if not varies or not np.ptp(fit["value"]) or not np.ptp(fit["change"]):
        return {}
    correlation = rank_correlation(fit["value"], fit["change"])
    slope, start = np.polyfit(fit["value"], fit["change"], 1)
    actual = held_back["change"].to_numpy(np.float64)
    missed = (actual - (slope * held_back["value"].to_numpy(np.float64) + start)) ** 2
    constants = np.array([[float(fit["change"].mean())], [0.0]])
    spreads = (actual - constants) ** 2  # (2, variants held back)
    drawn = np.random.default_rng(0).integers(0, len(actual), (_RESAMPLES, len(actual)))
    skills = _compute_skill(missed[drawn], spreads[:, drawn])
    low, high = percentile_interval(skills)
    return {
        "fresh": not held_back["name"].isin(fit["name"]).any(),
        "variants": len(fit),
        "held_back": len(held_back),
        "rho": correlation.rho,
        "p": correlation.p,
        "rho_held_back": rank_correlation(held_back["value"], held_back["change"]).rho,
        "skill": float(_compute_skill(missed, spreads)),
        "low": low,
        "high": high,
    }


def _compute_skill(missed: Floats, spreads: Floats) -> Floats:
    whole = np.asarray(spreads.sum(-1).min(0))  # 0 where a constant is right of all drawn
    ratio: Floats = np.divide(
        missed.sum(-1), whole, out=np.full_like(whole, np.nan), where=whole > 0
    )
    return 1 - ratio
