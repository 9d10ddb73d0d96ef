"""The ledger: the long table of gradient records and nothing else.

No tensor comes near it. One row says how long the gradient of one bucket is at one tap, by one
route, from one loss term, at one iteration; `COLUMNS` defines every column.
"""

from fpnprobe.ledger.columns import COLUMNS, CONFLICT_COLUMNS
from fpnprobe.ledger.table import ConflictRecord, GradientRecord, Ledger
from fpnprobe.ledger.writer import LedgerWriter

__all__ = [
    "COLUMNS",
    "CONFLICT_COLUMNS",
    "ConflictRecord",
    "GradientRecord",
    "Ledger",
    "LedgerWriter",
]
