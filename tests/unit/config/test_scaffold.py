"""The study that `fpnprobe init` writes is one that runs."""

from pathlib import Path

import pytest

from fpnprobe.config.loading import load
from fpnprobe.config.scaffold import write_study
from fpnprobe.config.shipped_studies import find_shipped, list_shipped
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


@pytest.mark.parametrize("name", ["quickstart", "table3/fcos", "table4", "causes"])
def test_a_copy_of_a_study_of_the_package_is_that_study_under_its_own_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # outside any checkout
    copy = load(write_study("mine", source=name))
    assert copy.name == "mine"
    assert copy.model_dump(exclude={"name"}) == load(name).model_dump(exclude={"name"})
    assert Path("mine/README.md").is_file()


def test_every_study_of_the_package_loads_by_its_name() -> None:
    studies = list_shipped()
    assert {"quickstart", "own_data", "table3/fcos"} <= {study.name for study in studies}
    for study in studies:
        assert load(study.name).question
        assert study.question
        assert find_shipped(f"studies/{study.name}") == study.file


def test_a_folder_of_yours_comes_before_a_study_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FpnProbeError, match="would hide: choose another name, such as my-quickst"):
        write_study("quickstart")
    write_study("mine").rename("quickstart")
    assert load("quickstart").variants[1].name == "FPN-CFG1"
    with pytest.raises(FpnProbeError, match=r"did you mean quickstart\?.*fpnprobe studies"):
        load("quickstrat")
