"""From the ledger's records to statements: gradient shares, the all-object index, intervals.

>>> t_interval([0.40, 0.42, 0.44])
Spread(n=3, mean=0.420, sd=0.020, low=0.370, high=0.470)
"""

from fpnprobe.statistics.cosines import route_cosines, size_cosines
from fpnprobe.statistics.intervals import (
    EXPANDED,
    Floats,
    RankCorrelation,
    Spread,
    hierarchical_samples,
    percentile_interval,
    rank_correlation,
    resample_counts,
    t_interval,
)
from fpnprobe.statistics.shares import USED, all_object_index, evenness, gradient_shares

__all__ = [
    "EXPANDED",
    "USED",
    "Floats",
    "RankCorrelation",
    "Spread",
    "all_object_index",
    "evenness",
    "gradient_shares",
    "hierarchical_samples",
    "percentile_interval",
    "rank_correlation",
    "resample_counts",
    "route_cosines",
    "size_cosines",
    "t_interval",
]
