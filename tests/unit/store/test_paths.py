"""A project with its data and reports can be moved; what lies elsewhere is named in full."""

from pathlib import Path

import pytest

from fpnprobe.store import paths


def test_a_project_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    monkeypatch.chdir(project)
    text = paths.to_stored(project / "data/val.json", study="reports/mine")
    assert text == "../../data/val.json"
    project.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    moved = tmp_path / "moved"
    assert paths.from_stored(text, study="moved/reports/mine") == moved / "data/val.json"


@pytest.mark.parametrize(("path", "study"), [("/far/val.json", "out"), ("data/val.json", "/far")])
def test_what_lies_elsewhere_is_named_in_full(
    path: str, study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = paths.to_stored(path, study=study)
    assert Path(text).is_absolute()
    assert paths.from_stored(text, study=study) == Path(path).absolute()
