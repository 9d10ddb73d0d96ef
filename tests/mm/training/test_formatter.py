"""A formatter whose cache another process is writing is waited for."""

import sys
from pathlib import Path

import pytest

from fpnprobe.errors import EnvironmentProblem
from fpnprobe.mm.training import formatter

HALF = """
import pickle
from pathlib import Path
tries = Path(__file__).with_name("tries")
tries.write_text(str(int(tries.read_text()) + 1))
if int(tries.read_text()) <= {failures}:
    pickle.loads(b"")
"""


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, *, failures: int) -> Path:
    (folder / "half_written.py").write_text(HALF.format(failures=failures))
    (folder / "tries").write_text("0")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(formatter, "_PAUSE", 0)
    monkeypatch.delitem(sys.modules, "half_written", raising=False)
    return folder / "tries"


def test_it_is_tried_until_the_cache_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = module(tmp_path, monkeypatch, failures=3)
    formatter.import_formatter("half_written")
    assert tries.read_text() == "4"


def test_a_cache_that_stays_damaged_is_an_error_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module(tmp_path, monkeypatch, failures=10**6)
    with pytest.raises(EnvironmentProblem, match="remove the folder YAPF"):
        formatter.import_formatter("half_written")
