"""A table that is not there is told with those that are."""

import pandas as pd
import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.notebook.named_tables import NamedTables

TABLES = NamedTables({"routes": pd.DataFrame({"a": [1]}), "figure-2": pd.DataFrame()})


@pytest.mark.parametrize(
    ("name", "told"),
    [("rout", "did you mean routes?"), ("zzz", "known: routes, figure-2"), (7, "no table 7")],
)
def test_a_name_that_is_not_there(name: str, told: str) -> None:
    with pytest.raises(KeyError) as as_mapping:
        TABLES[name]
    assert isinstance(as_mapping.value, FpnProbeError)
    assert told in str(as_mapping.value) and "\n" not in str(as_mapping.value)


def test_a_mapping_like_any_other() -> None:
    assert TABLES["routes"]["a"].tolist() == [1]
    assert "rout" not in TABLES and TABLES.get("rout") is None
    assert list(TABLES) == ["routes", "figure-2"] and len(TABLES) == 2


def test_a_run_without_tables_says_so() -> None:
    with pytest.raises(KeyError, match="nor any other"):
        NamedTables()["routes"]
