"""The law, on mutated good files: what the check accepts every reader accepts, or it is refused.

`tests/mm/studies/test_mutations.py` takes the accepted ones on, to the report.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data import mutations
from tests.unit.data.law import check, hold_to_the_law
from tests.unit.data.mutations import RELAXED, Changes, some_changes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated")
    mutations.write_pictures(folder)
    return folder


def test_the_good_file_is_good(root: Path) -> None:
    mutations.write(root, [], both=True)
    splits = check(root)
    assert splits is not None
    assert not any(split.notices for split in splits)
    hold_to_the_law(root, [], both=True)


@settings(max_examples=60, deadline=None, suppress_health_check=RELAXED)
@given(some_changes, st.booleans())
def test_mutations(root: Path, mutated: Changes, both: bool) -> None:
    hold_to_the_law(root, mutated, both=both)


@settings(max_examples=60, deadline=None, suppress_health_check=RELAXED)
@given(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 40))
def test_damaged_bytes(root: Path, place: int, put: bytes, removed: int) -> None:
    mutations.write(root, [], both=True)
    file = root / "annotations" / "train.json"
    whole = file.read_bytes()
    place %= len(whole)
    file.write_bytes(whole[:place] + put + whole[place + removed :])
    check(root)
