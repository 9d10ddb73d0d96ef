"""Angles between gradients: of a size's direct and deeper one, and of two sizes."""

import numpy as np
import pandas as pd

from fpnprobe.statistics.shares import USED


def route_cosines(frame: pd.DataFrame) -> pd.DataFrame:
    """Cosine between the direct and the deeper gradient of each bucket at each stage.

    Their sum is the total, so it follows from three lengths, squared and summed over samples:

        cos = (|total|^2 - |direct|^2 - |deeper|^2) / (2 |direct| |deeper|)

    -1 is cancellation, 0 are unrelated directions. Stages with a third route, which an auxiliary
    head adds, have none, and neither has a bucket that sends nothing by one of the two.

    Args:
        frame: Rows of a ledger.

    Returns:
        One row for each stage and bucket: tap, bucket, cosine.

    >>> frame = pd.DataFrame({"route": ["total", "direct", "deeper"], "l2": [5.0, 3.0, 4.0]})
    >>> fixed = {"tap": "C2", "bucket": "large", "kind": "activation", "term": "all"}
    >>> route_cosines(frame.assign(**fixed, state="measured"))["cosine"].tolist()
    [0.0]
    """
    rows = frame[
        (frame["kind"] == "activation") & (frame["term"] == "all") & frame["state"].isin(USED)
    ]
    squares = (
        rows.assign(square=rows["l2"] ** 2)
        .groupby(["tap", "bucket", "route"], observed=True)["square"]
        .sum()
        .unstack("route")
        .reindex(columns=["total", "direct", "deeper", "auxiliary"])
    )
    squares = squares[squares["auxiliary"].isna() | (squares["auxiliary"] == 0)]
    direct, deeper = squares["direct"], squares["deeper"]
    lengths = pd.Series(2 * np.sqrt(direct * deeper), index=squares.index)
    cosine = (squares["total"] - direct - deeper) / lengths.where(lengths > 0)
    table: pd.DataFrame = cosine.clip(-1, 1).dropna().rename("cosine").reset_index()
    return table


def size_cosines(frame: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Mean cosine over samples between the gradients of two buckets in a stage's parameters.

    Args:
        frame: Rows of a conflict table.
        first: One of the buckets.
        second: The other one.

    Returns:
        One row for each stage: tap, cosine in [-1, 1]. None of stages where no sample has both.

    >>> frame = pd.DataFrame({"bucket_a": ["small"] * 2, "bucket_b": ["large"] * 2})
    >>> frame = frame.assign(tap="C2", kind="parameter", cosine=[-0.5, 0.25])
    >>> size_cosines(frame, "large", "small")["cosine"].tolist()
    [-0.125]
    """
    pair = frame["bucket_a"].isin([first, second]) & frame["bucket_b"].isin([first, second])
    rows = frame[pair & (frame["bucket_a"] != frame["bucket_b"]) & (frame["kind"] == "parameter")]
    table: pd.DataFrame = rows.groupby("tap", observed=True)["cosine"].mean().dropna().reset_index()
    return table
