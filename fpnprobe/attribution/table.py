"""Attribution as tables: one row per target and level, and shares per bucket with intervals.

No torch here, so that reports and notebooks can aggregate what a run has stored.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fpnprobe.errors import FpnProbeError

COLUMNS = (
    "study",
    "variant",
    "seed",
    "image_id",
    "object",
    "kind",
    "bucket",
    "method",
    "place",
    "level",
    "share",
    "attribution",
    "assigned_level",
    "value",
    "residual",
)
"""`share` in [0, 1] sums to 1 over the levels of a target, method and place; `attribution` is the
signed sum and `value` the logit, in units of the logit; `residual` is relative."""

DETAILS = ("label", "score", "x", "y", "width", "height")
"""Class, score and box (input pixels) of a target; older tables do not have them."""

_GROUP = ["study", "variant", "method", "place", "bucket", "level"]


def check(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, if it has all columns.

    Raises:
        FpnProbeError: Naming the columns that are missing.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise FpnProbeError(
            f"an attribution table lacks the columns {', '.join(missing)}: "
            "make it again by `fpnprobe attribute`"
        )
    return frame


def by_bucket(
    frame: pd.DataFrame, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return the mean share of every level, by variant and bucket, with a bootstrap interval.

    Images are resampled, not objects, because the objects of an image are not independent; an
    image stands for all its seeds. The interval is the percentile interval (Efron and Tibshirani
    1993, ch. 13) and holds for these trained models on other images like these: it does not
    contain the spread of training again.

    Args:
        frame: Rows with `COLUMNS`; kind "bucket" is left out, its rows are not objects.
        confidence: Of the interval.
        resamples: Bootstrap samples of images.
        seed: Of the bootstrap.

    Returns:
        One row per study, variant, method, place, bucket and level: `share`, `low`, `high`,
        `assigned` (fraction of the bucket's objects that the detector assigns to that level; NaN
        at the stages, where nothing is assigned), `n_objects`, `n_images`, `n_seeds`.

    >>> rows = pd.DataFrame({name: [""] * 4 for name in COLUMNS} | {
    ...     "variant": "FPN", "kind": "object", "bucket": "small", "place": "pyramid",
    ...     "image_id": [1, 1, 2, 2], "object": [0, 0, 0, 0], "level": ["P2", "P3"] * 2,
    ...     "share": [1.0, 0.0, 0.5, 0.5], "assigned_level": ["P2"] * 4, "seed": 0})
    >>> by_bucket(rows)[["level", "share", "low", "high", "assigned", "n_objects"]].values.tolist()
    [['P2', 0.75, 0.5, 1.0, 1.0, 2], ['P3', 0.25, 0.0, 0.5, 0.0, 2]]
    """
    if not 0 < confidence < 1 or resamples < 1:
        raise FpnProbeError(
            f"confidence={confidence}, resamples={resamples}: expected 0 < confidence < 1 and at "
            "least 1 resample"
        )
    rows = check(frame)
    rows = rows[(rows["kind"] != "bucket") & rows["share"].notna()]
    summaries = [
        dict(zip(_GROUP, key, strict=True)) | _summarize_group(group, confidence, resamples, seed)
        for key, group in rows.groupby(_GROUP, sort=False, observed=True)
    ]
    columns = [*_GROUP, "share", "low", "high", "assigned", "n_objects", "n_images", "n_seeds"]
    return pd.DataFrame(summaries, columns=columns)


def on_assigned_level(frame: pd.DataFrame) -> pd.DataFrame:
    """Count how often an object's largest share lies on its assigned level, by bucket.

    Returns:
        One row per study, variant, method and bucket: `agreement` in [0, 1], `n_objects`; pyramid
        only.
    """
    rows = check(frame)
    rows = rows[(rows["place"] == "pyramid") & (rows["kind"] != "bucket") & rows["share"].notna()]
    target = ["study", "variant", "seed", "image_id", "object", "kind", "method"]
    top = rows.loc[rows.groupby(target, observed=True)["share"].idxmax()]
    top = top.assign(agreement=(top["level"] == top["assigned_level"]).astype(float))
    group = ["study", "variant", "method", "bucket"]
    return (
        top.groupby(group, sort=False, observed=True)
        .agg(agreement=("agreement", "mean"), n_objects=("agreement", "size"))
        .reset_index()
    )


def concat(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of several cells; an empty one of none."""
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def _summarize_group(
    group: pd.DataFrame, confidence: float, resamples: int, seed: int
) -> dict[str, float | int]:
    per_image = group.groupby("image_id")["share"].agg(["sum", "size"])
    sums, sizes = per_image["sum"].to_numpy(float), per_image["size"].to_numpy(float)
    n = len(per_image)
    draws = np.random.default_rng(seed).integers(0, n, size=(resamples, n))
    means = sums[draws].sum(1) / sizes[draws].sum(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    assigned = (group["assigned_level"] == group["level"]).mean()
    return {
        "share": float(sums.sum() / sizes.sum()),
        "low": float(low),
        "high": float(high),
        "assigned": float(assigned) if group["place"].iloc[0] == "pyramid" else float("nan"),
        "n_objects": len(group),
        "n_images": n,
        "n_seeds": int(group["seed"].nunique()),
    }
