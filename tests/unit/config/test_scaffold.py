"""The study that `fpnprobe init` writes is one that runs."""

from pathlib import Path

import pytest

from fpnprobe.config.loading import load
from fpnprobe.config.scaffold import write_study
from fpnprobe.errors import FpnProbeError


def test_the_written_study_can_be_loaded(tmp_path: Path) -> None:
    folder = write_study("own", tmp_path)
    study = load(folder)
    assert study.name == "own"
    assert [each.name for each in study.variants] == ["FPN", "FPN-CFG1", "FPN-Aux"]
    assert str(folder) in (folder / "README.md").read_text()


def test_nothing_is_overwritten_and_names_are_checked(tmp_path: Path) -> None:
    write_study("own", tmp_path)
    with pytest.raises(FpnProbeError, match="exists already"):
        write_study("own", tmp_path)
    with pytest.raises(FpnProbeError, match="expected letters"):
        write_study("a b", tmp_path)
