"""The ledger: the long table of gradient records and nothing else.

No tensor comes near it. One row says how long the gradient of one bucket is at one tap, by one
route, from one loss term, at one iteration; `COLUMNS` defines every column.

While a training runs, the table is `ledger.parquet` and the parts of `ledger.parts/`, which are
merged into it at the end. `Ledger.read` takes both, and so do other programs:

    duckdb  SELECT * FROM read_parquet(['ledger.parquet', 'ledger.parts/*.parquet'])
    polars  pl.scan_parquet(["ledger.parquet", "ledger.parts/*.parquet"])
    pandas  pd.read_parquet("ledger.parts"), beside pd.read_parquet("ledger.parquet")

A process that is killed while it gathers parts may leave some that a larger one holds too, until
the training goes on: `Ledger.read` knows them, and other programs would count their rows twice.
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
