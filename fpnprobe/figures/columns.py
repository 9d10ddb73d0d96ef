"""Figures meet measurements in documented columns: a missing one is an error, never a guess."""

from collections.abc import Iterable

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
