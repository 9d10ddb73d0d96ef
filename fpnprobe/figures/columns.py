"""Figures meet measurements in documented columns: a missing one is an error, never a guess."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError


def require(table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise if `table` lacks one of `columns`.

    >>> require(pd.DataFrame({"a": []}), ["a"])
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise FpnProbeError(
            f"the table has no column {', '.join(missing)}: it has {', '.join(table.columns)}; "
            "pass the table that the figure's docstring describes"
        )


def rows(table: pd.DataFrame) -> Iterator[Any]:
    """Rows as named tuples: what is in a column is known to its reader, not to the type checker."""
    yield from table.itertuples()


def split(table: pd.DataFrame, by: str) -> list[tuple[str, pd.DataFrame]]:
    """The table by the values of a column, in order of appearance.

    >>> [(name, len(part)) for name, part in split(pd.DataFrame({"v": ["b", "a", "b"]}), "v")]
    [('b', 2), ('a', 1)]
    """
    return [(str(name), rows_of_value) for name, rows_of_value in table.groupby(by, sort=False)]


def largest(table: pd.DataFrame, by: str) -> Any:
    """The row where a column is largest, as a named tuple.

    >>> largest(pd.DataFrame({"v": ["a", "b"], "x": [1.0, 2.0]}), "x").v
    'b'
    """
    return next(table.loc[[table[by].idxmax()]].itertuples())
