"""A cell that is killed and damaged at random ends as an undisturbed one, or names the file."""

import pytest

from tests.mm.studies.rounds import KINDS, main


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_silently_different(kind: str) -> None:
    assert set(main(kind, 50)) <= {"equal", "named"}
