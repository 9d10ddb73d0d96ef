"""From a cell's ledger to the small tables that a report draws: one cell in memory at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fpnprobe.ledger import Ledger
from fpnprobe.ledger.parts import parts
from fpnprobe.scales import BACKGROUND
from fpnprobe.statistics import USED, all_object_index, gradient_shares, route_cosines
from fpnprobe.store.tables import check_size, read_parquet

BINS = 40
_READ = [
    *("iteration", "tap", "level", "kind", "route", "bucket", "term", "l2", "n_objects", "state"),
    *("residual_loss", "residual_gradient", "residual_routes"),
]


@dataclass(frozen=True, slots=True)
class CellGradients:
    """Aggregates of one cell, or of many joined.

    Attributes:
        shares: What `gradient_shares` gives, with `term`.
        index: What `all_object_index` gives.
        history: Study, variant, seed, tap, route, bucket, iteration (mean of the bin), square
            (sum of the squared norms in the bin), share, points (samples in the bin).
        residuals: Study, variant, seed, loss, gradient, routes (largest over the iterations),
            samples, nonfinite, unsound, underflow.
        conflict: Study, variant, seed, kind, tap, bucket_a, bucket_b, cosine (mean), points.
        route_cosines: Study, variant, seed, tap, bucket, cosine of the direct and the deeper route.
    """

    shares: pd.DataFrame
    index: pd.DataFrame
    history: pd.DataFrame
    residuals: pd.DataFrame
    conflict: pd.DataFrame
    route_cosines: pd.DataFrame

    @classmethod
    def joined(cls, summaries: Sequence["CellGradients"]) -> "CellGradients":
        """Rows of all parts below each other."""
        return cls(
            *(
                pd.concat(
                    [getattr(summary, field.name) for summary in summaries], ignore_index=True
                )
                if summaries
                else pd.DataFrame()
                for field in fields(cls)
            )
        )

    def ordered(self, buckets: Sequence[str]) -> "CellGradients":
        """The same rows with small buckets before large ones, otherwise as they stood."""
        order = {name: at for at, name in enumerate(buckets)}

        def sort(table: pd.DataFrame) -> pd.DataFrame:
            if "bucket" not in table:
                return table
            key = [order.get(name, len(order)) for name in table["bucket"]]
            table = table.assign(place=key).sort_values("place", kind="stable")
            return table.drop(columns="place").reset_index(drop=True)

        return CellGradients(*(sort(getattr(self, field.name)) for field in fields(self)))


def summarize(folder: Path, *, study: str, variant: str, seed: int) -> CellGradients:
    """Read `ledger.parquet` and, if there, `conflict.parquet` of a cell.

    An interrupted run has left its last samples beside them, in parts.
    """
    whole = None if not parts(folder, "ledger") else Ledger.read(folder)
    texts = ["tap", "kind", "route", "bucket", "term", "state"]
    if whole is None:
        check_size(folder / "ledger.parquet")
        frame = pq.read_table(
            folder / "ledger.parquet", columns=_READ, read_dictionary=texts
        ).to_pandas(strings_to_categorical=True)
    else:
        frame = whole.frame[_READ].astype(dict.fromkeys(texts, "category"))
    for name, value in (("study", study), ("variant", variant), ("seed", seed)):
        frame[name] = pd.Categorical([value] * len(frame))
    conflict = folder / "conflict.parquet"
    tables = (
        _shares_by_term(frame),
        _shrink_text(all_object_index(frame)),
        _summarize_history(frame),
        _summarize_residuals(frame),
        _summarize_conflict(whole.conflict)
        if whole is not None
        else _summarize_conflict(read_parquet(conflict))
        if conflict.exists()
        else pd.DataFrame(),
        _shrink_text(route_cosines(frame)),
    )
    for table in tables:
        for name, value in (("study", study), ("variant", variant), ("seed", seed)):
            table[name] = value
    return CellGradients(*tables)


def _shares_by_term(frame: pd.DataFrame) -> pd.DataFrame:
    """`gradient_shares` of the summed loss and of every term apart."""
    # the terms stand in for the study, which is one: they stay apart in a single pass
    apart = gradient_shares(frame.assign(study=frame["term"], term="all"))
    return _shrink_text(apart.rename(columns={"study": "term"}))


def _summarize_history(frame: pd.DataFrame) -> pd.DataFrame:
    keys = ["tap", "route", "bucket"]
    rows = frame[
        (frame["term"] == "all")
        & (frame["kind"] == "activation")
        & frame["bucket"].isin(set(frame["bucket"].unique()) - {BACKGROUND, "all"})
        & frame["state"].isin(USED)
    ]
    steps = np.sort(rows["iteration"].unique())
    if not len(steps):
        return pd.DataFrame(columns=[*keys, "square", "iteration", "points", "share"])
    stretch = np.searchsorted(steps, rows["iteration"]) * min(BINS, len(steps)) // len(steps)
    table = (
        rows.assign(square=rows["l2"] ** 2, bin=stretch)
        .groupby([*keys, "bin"], observed=True)
        .agg(
            square=("square", "sum"),
            iteration=("iteration", "mean"),
            points=("bin", "size"),
            most=("n_objects", "max"),
        )
        .reset_index()
    )
    total = table.groupby(["tap", "route", "bin"], observed=True)["square"].transform("sum")
    table["share"] = table["square"] / total.where(total > 0)
    by_place = table.groupby(keys, observed=True)  # over the whole training
    absent = (by_place["most"].transform("max") == 0) & (by_place["square"].transform("sum") == 0)
    table["share"] = table["share"].mask(absent)
    return _shrink_text(table.drop(columns=["bin", "most"]))


def _summarize_residuals(frame: pd.DataFrame) -> pd.DataFrame:
    names = ("loss", "gradient", "routes")
    sound = frame[frame["state"].isin(USED)]
    return pd.DataFrame(
        [
            {
                # Of what is used: samples that do not hold are counted, and left out.
                **{name: float(sound[f"residual_{name}"].max()) for name in names},
                "samples": int(frame["iteration"].nunique()),
                **{
                    state: int(frame.loc[frame["state"] == state, "iteration"].nunique())
                    for state in ("nonfinite", "unsound", "underflow")
                },
            }
        ]
    )


def _summarize_conflict(frame: pd.DataFrame) -> pd.DataFrame:
    return (
        frame.groupby(["kind", "tap", "bucket_a", "bucket_b"], observed=True)["cosine"]
        .agg(cosine="mean", points="count")
        .reset_index()
    )


def _shrink_text(table: pd.DataFrame) -> pd.DataFrame:
    names = [n for n in table.columns if isinstance(table[n].dtype, pd.CategoricalDtype)]
    return table.assign(**{name: table[name].astype(str) for name in names})
