"""The output folder of a study that is refused is not left behind."""

from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.study.folder import study_folder


def refuse(out: Path, *, writes: bool) -> None:
    with pytest.raises(FpnProbeError, match="no data"), study_folder.made(out):
        if writes:
            (out / "data").mkdir()
        raise FpnProbeError("no data")


def test_a_new_folder_that_holds_nothing_goes(tmp_path: Path) -> None:
    refuse(tmp_path / "reports" / "new", writes=False)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_and_what_holds_something_stays(tmp_path: Path) -> None:
    refuse(tmp_path, writes=False)
    assert tmp_path.is_dir()
    refuse(tmp_path / "new", writes=True)
    assert (tmp_path / "new" / "data").is_dir()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(FpnProbeError, match="choose another with --out"),
        study_folder.made(tmp_path / "file" / "out"),
    ):
        pass
