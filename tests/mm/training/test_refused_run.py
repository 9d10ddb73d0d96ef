"""What was refused before its first iteration leaves nothing; what was begun stays."""

from pathlib import Path

import pytest

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm.training.refused_run import remove_if_refused


def write_as_mmengine(folder: Path) -> None:
    (folder / "20260101_000000").mkdir(parents=True)
    (folder / "20260101_000000" / "20260101_000000.log").write_text("log")
    (folder / "config.py").write_text("of the refused one")


def refuse(folder: Path, *, begun: bool, error: Exception) -> None:
    with (
        pytest.raises(type(error)),
        remove_if_refused(folder, has_begun=lambda: begun),
    ):
        write_as_mmengine(folder)
        raise error


def test_a_new_folder_and_those_above_it_go(tmp_path: Path) -> None:
    refuse(tmp_path / "work_dirs" / "new", begun=False, error=EnvironmentProblem("no network"))
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("of an earlier one")
    (tmp_path / "ledger.parquet").touch()
    refuse(tmp_path, begun=False, error=FpnProbeError("no data"))
    assert {path.name for path in tmp_path.iterdir()} == {"config.py", "ledger.parquet"}
    assert (tmp_path / "config.py").read_text() == "of an earlier one"


@pytest.mark.parametrize(
    ("begun", "error"), [(True, FpnProbeError("loss is NaN")), (False, ZeroDivisionError())]
)
def test_a_training_that_had_begun_and_a_bug_keep_their_log(
    begun: bool, error: Exception, tmp_path: Path
) -> None:
    refuse(tmp_path / "run", begun=begun, error=error)
    assert (tmp_path / "run" / "20260101_000000" / "20260101_000000.log").is_file()
