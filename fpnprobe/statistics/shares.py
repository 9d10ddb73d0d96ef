"""Gradient shares and the all-object index, from the ledger's records."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import BACKGROUND

USED = ("measured", "would_arrive", "frozen")
"""Rows of other states (unsound, nonfinite, underflow) are left out."""
CELL = ["study", "variant", "seed", "tap", "kind", "route"]
_NEEDED = [*CELL, "iteration", "bucket", "term", "l2", "n_objects", "state"]


def gradient_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the gradient norm by bucket over a whole run, and its share of what all objects send.

    `l2` is the root mean square over the probed iterations; `share` is `l2_b^2` over its sum for
    the object buckets, in [0, 1]. Background has a norm but no share. A frozen tap keeps its rows
    with NaN and `state` "frozen"; a bucket without a single object in all iterations has no share
    and `state` "absent". Rows that do not hold (`unsound`, `nonfinite`, `underflow`) are left out.

    Args:
        frame: The ledger's table (columns as in `fpnprobe.ledger`).

    Returns:
        One row per study, variant, seed, tap, kind, route and bucket: `l2`, `share`, `state`.
    """
    rows = _summed_terms(frame)
    counted = rows["n_objects"].astype(np.float64).where(rows["l2"].notna())
    group = rows.assign(energy=rows["l2"] ** 2, most=counted).groupby(
        [*CELL, "bucket"], sort=False, observed=True
    )
    shares = group.agg(
        energy=("energy", "mean"), state=("state", "first"), most=("most", "max")
    ).reset_index()
    # What was measured once is measured, whatever became of other iterations.
    first = shares["state"].astype(object)
    shares["state"] = first.where(shares["energy"].isna() | (first == "would_arrive"), "measured")
    shares["l2"] = np.sqrt(shares["energy"])
    objects = shares["energy"].where(shares["bucket"] != BACKGROUND)
    total = objects.groupby([shares[key] for key in CELL]).transform("sum")
    shares["share"] = (objects / total.where(total > 0)).astype(np.float64)
    absent = (shares["most"] == 0) & (objects == 0)
    shares["share"] = shares["share"].mask(absent)
    shares["state"] = shares["state"].mask(absent, "absent")
    return shares[[*CELL, "bucket", "l2", "share", "state"]]


def all_object_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The all-object index of a tap: 1/K if one size makes its gradient, 1 if all do alike.

    With `e_b` the mean over iterations of `(norm of bucket b's gradient / number of its
    objects)^2`, `p = e / sum(e)` and K object buckets, the index is `exp(entropy(p)) / K`.
    Iterations without objects of a bucket do not enter its mean; a bucket that never has objects,
    or a route that carries nothing, gives NaN.

    Args:
        frame: The ledger's table.

    Returns:
        One row per study, variant, seed, tap, kind and route: `index`.
    """
    rows = _summed_terms(frame)
    rows = rows[rows["bucket"] != BACKGROUND]
    count = rows["n_objects"].astype(np.float64)
    rows = rows.assign(energy=(rows["l2"] / count.where(count > 0)) ** 2)
    energy = (
        rows.groupby([*CELL, "bucket"], sort=False, observed=True)["energy"]
        .mean()
        .unstack("bucket")
    )
    index = energy.apply(lambda row: evenness(row.to_numpy(dtype=np.float64)), axis=1)
    return pd.DataFrame({"index": index.astype(np.float64)}).reset_index()


def evenness(energy: npt.ArrayLike) -> float:
    """`exp(entropy(p)) / K` of `p = energy / sum(energy)` over K entries, in [1/K, 1].

    >>> [round(evenness(energy), 3) for energy in ([1, 1, 1], [1, 0, 0])]
    [1.0, 0.333]
    """
    values = np.asarray(energy, dtype=np.float64)
    total = values.sum()
    if not np.isfinite(total) or total <= 0:
        return float("nan")
    p = values / total
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1.0)))
    return float(np.exp(entropy) / len(values))


def _summed_terms(frame: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        raise FpnProbeError(
            f"the ledger table lacks the columns {', '.join(missing)}: read it by Ledger.read"
        )
    rows = frame[(frame["term"] == "all") & (frame["bucket"] != "all")]
    norms = rows["l2"].astype(np.float64)
    return rows.assign(l2=norms.where(np.isfinite(norms) & rows["state"].isin(USED)))
