"""Tables by name: a name that is not there is told with the nearest, or with those that are."""

from typing import TYPE_CHECKING, NoReturn, Self

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.suggestions import suggest

if TYPE_CHECKING:
    from fpnprobe.report.page.content import Report


class UnknownTable(FpnProbeError, KeyError):
    """A table that a run has not; a `KeyError` too, as of any mapping."""

    __str__ = FpnProbeError.__str__  # that of a KeyError shows its message in quotes


class NamedTables(dict[str, pd.DataFrame]):
    """Tables by name; `in`, `get` and iteration are those of any dict.

    >>> NamedTables({"routes": pd.DataFrame()})["rout"]
    Traceback (most recent call last):
    ...
    fpnprobe.notebook.named_tables.UnknownTable: no table 'rout': did you mean routes?

    Raises:
        UnknownTable: By `[name]`, for a name that is not there.
    """

    @classmethod
    def of(cls, report: "Report") -> Self:
        """Every table of a report, and the table behind every figure."""
        figures = [(figure.name, figure.table) for figure in report.figures()]
        return cls([*figures, *((table.name, table.frame) for table in report.tables())])

    def __missing__(self, name: object) -> NoReturn:
        """Raise for a name that is not there."""
        if not self:
            raise UnknownTable(f"no table {name!r}, nor any other: nothing was measured yet")
        raise UnknownTable(f"no table {name!r}: {suggest(str(name), self)}")
