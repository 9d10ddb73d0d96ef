"""The folder holds what belongs to the study; other results are kept apart, and come back."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from fpnprobe.config import loading
from fpnprobe.errors import FpnProbeError
from fpnprobe.store import locks
from fpnprobe.store.cell import MANIFEST, write_manifest
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder import cell_content, cell_key, dataset, study_folder
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.stage_words import StageWords
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.planning import lines, plan
from fpnprobe.study.precautions import tell_stale
from fpnprobe.study.runner.display import Display, _estimate_remaining
from fpnprobe.study.runner.tracked_cells import Tracked
from fpnprobe.study.snapshot import status
from tests.unit.study.conftest import SOURCE, content


def fill(cell: Cell, state: str = "done", **more: object) -> None:
    cell.folder.mkdir(parents=True, exist_ok=True)
    (cell.folder / "ledger.parquet").write_text(cell.key)
    write_manifest(cell.folder, {"key": cell.key, "state": state, "config": {}, **more})


def settle(cell: Cell) -> None:
    with locks.held(cell.lock):
        cell_content.settle(cell)


def test_what_is_written_reads_back(result: Output) -> None:
    again = study_folder.read(result.out)
    assert again.study == result.study
    assert again.source == result.source
    assert again.cells == result.cells
    assert again.iterations == 10


def test_states_of_a_cell(result: Output) -> None:
    cell = result.cells[0]
    assert cell.state() is State.PENDING
    for state, seen in (("running", "interrupted"), ("failed", "failed"), ("done", "done")):
        fill(cell, state)
        assert cell.state() == seen
    assert replace(cell, key="other").state() is State.STALE


def test_a_manifest_that_cannot_be_read_costs_nothing(result: Output) -> None:
    cell = result.cells[0]
    fill(cell)
    (cell.folder / MANIFEST).unlink()
    (cell.folder / MANIFEST).mkdir()  # as unreadable as on a disk that fails
    with pytest.raises(FpnProbeError, match="nothing was changed"):
        settle(cell)
    assert (cell.folder / "ledger.parquet").read_text() == cell.key


def test_other_settings_move_away_and_come_back(result: Output) -> None:
    first = result.cells[0]
    second = replace(first, key="f" * 64)
    fill(first)
    settle(second)
    assert second.manifest() is None
    assert not (second.folder / "ledger.parquet").exists()
    fill(second)
    assert first.state() is State.DONE  # in the archive
    settle(first)
    assert (first.folder / "ledger.parquet").read_text() == first.key
    assert first.state() is State.DONE
    assert second.state() is State.DONE
    settle(second)
    settle(first)
    assert first.manifest() is not None
    assert {path.name for path in first.folder.iterdir()} == {"ledger.parquet", "manifest.json"}


def test_an_older_archive_of_the_same_settings_gives_way(result: Output) -> None:
    """What was archived before is whole or gone, never mixed with what is archived now."""
    first = result.cells[0]
    second = replace(first, key="f" * 64)
    archived = first.archive
    archived.mkdir(parents=True)
    write_manifest(archived, {"key": first.key, "state": "done"})
    (archived / "detections.json.gz").write_text("older")
    fill(first)
    settle(second)
    assert {path.name for path in archived.iterdir()} == {"ledger.parquet", "manifest.json"}
    assert (archived / "ledger.parquet").read_text() == first.key


@pytest.mark.parametrize("fatal", range(1, 13))
def test_a_move_that_was_killed_loses_nothing(
    fatal: int, result: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each rename on the way into the archive and back, then settled once more."""
    study = loading.validate(content(schedule={"iterations": 20}))
    first = result.cells[0]
    other = study_folder.of(study, source=SOURCE, out=result.out).cells[0]
    first.folder.mkdir(parents=True)
    for name in ("detections.json.gz", "ledger.parquet", "training.parquet"):
        (first.folder / name).write_text(name)
    write_manifest(first.folder, {"key": first.key, "state": "done"})
    before = {path.name: path.read_text() for path in first.folder.iterdir()}
    renames, rename = iter(range(1, 99)), Path.rename

    def killed(path: Path, target: Path) -> Path:
        if next(renames) == fatal:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with contextlib.suppress(KeyboardInterrupt):
        cell_content.settle(other)
        write_manifest(other.folder, {"key": other.key, "state": "done"})
        cell_content.settle(first)
    cell_content.settle(first)
    assert {path.name: path.read_text() for path in first.folder.iterdir()} == before
    assert not first.archive.exists()


def test_remains_of_a_killed_process_go(result: Output) -> None:
    cell = result.cells[0]
    fill(cell, "running")
    (cell.folder / "checkpoints").mkdir()
    (cell.folder / "checkpoints" / ".resume.pt.x1").write_text("half")
    settle(cell)
    assert not list(cell.folder.rglob(".*"))
    assert (cell.folder / "ledger.parquet").exists()


def test_content_without_a_manifest_goes_to_the_archive(result: Output) -> None:
    cell = result.cells[0]
    cell.folder.mkdir(parents=True)
    (cell.folder / "ledger.parquet").write_text("?")
    settle(cell)
    assert not list(cell.folder.iterdir())
    assert (result.out / "archive/damaged-1/ledger.parquet").read_text() == "?"


def test_cells_that_left_the_study_are_archived(result: Output) -> None:
    for cell in result.cells:
        fill(cell)
    smaller = replace(result, cells=result.cells[:2])
    moved = cell_content.archive_foreign(smaller)
    assert len(moved) == 2
    assert not (result.out / "cells" / "fpn").exists()
    assert [cell.state() for cell in result.cells] == [State.DONE] * 4
    settle(result.cells[2])
    assert (result.cells[2].folder / "manifest.json").exists()


def test_forget_deletes_a_cell_alone(result: Output) -> None:
    for cell in result.cells:
        fill(cell)
    cell_content.forget(result.cells[0])
    assert [cell.state().value for cell in result.cells] == ["pending", "done", "done", "done"]


def test_plan_tells_what_is_stale_and_why(result: Output) -> None:
    done, stale, failed, _ = result.cells
    fill(done, timings={"per_iteration_s": 2.0, "evaluate_s": 3.0})
    fill(replace(stale, key="0" * 64), data={"root_hash": "abc"}, code="old")
    fill(failed, "failed", reason="out of memory")
    found = plan(result, result.cells, jobs=1)
    assert [row["state"] for row in found["cells"]] == ["done", "stale", "failed", "pending"]
    assert any("schedule" in change for change in found["cells"][1]["changed"])
    assert not any("code" in change for change in found["cells"][1]["changed"])
    assert found["missing"] == 3
    assert found["seconds"] == pytest.approx(3 * (10 * 2.0 + 3.0 + 12.0))
    text = lines(found)
    assert "out of memory" in text
    assert "3 of 4 cells to run" in text


def test_finished_cells_that_are_trained_anew_are_told_with_their_place(
    result: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    done, stale, stopped, _ = result.cells
    fill(done)
    fill(replace(stale, key="0" * 64), data={"root_hash": "abc"})
    fill(replace(stopped, key="0" * 64), "interrupted", data={"root_hash": "abc"})
    tell_stale(result, result.cells, Display(jobs=1, words=StageWords(images=6)))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{stale.title}: trained anew (") and "schedule" in line
    assert line.endswith(f"what it had goes into {result.out}/archive")


def test_plan_tells_that_the_code_changed_and_runs_nothing_for_it(result: Output) -> None:
    for cell in result.cells:
        fill(cell, code="0.1.0+older")
    found = plan(result, result.cells, jobs=1)
    assert [row["state"] for row in found["cells"]] == ["done"] * 4
    text = lines(found)
    assert "nothing to run" in text
    assert "code changed since 4 of the cells were done (0.1.0+older -> " in text
    assert text.endswith("results version the same")


def test_status_of_every_state(result: Output) -> None:
    fill(result.cells[0])
    with locks.held(result.cells[1].lock):  # a lock of our own process does not hold us back
        pass
    found = status(result.out)
    assert found["study"] == "unit"
    assert [row["state"] for row in found["cells"]] == ["done", "pending", "pending", "pending"]
    assert found["cells"][0]["iteration"] == found["cells"][0]["iterations"] == 10
    assert set(found["cells"][0]) >= {"variant", "seed", "state", "iteration", "iterations"}


def test_a_file_is_not_the_output_of_a_study(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FpnProbeError, match="is not the output of a study"):
        status(tmp_path / "file")


@pytest.mark.parametrize("text", ["", "{}", '{"study": 3}', "[1]", "{"])
def test_a_broken_study_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(FpnProbeError, match="cannot be read"):
        status(tmp_path)


def test_a_cache_named_by_a_relative_path_gives_absolute_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPNPROBE_CACHE", "data")
    scenes = {"scenes": {"train": 1, "val": 1, "size": 64, "seed": 0}}
    found = dataset.prepare(loading.validate(content(data=scenes)), out="reports/mine")
    assert all(Path(each).is_absolute() for each in (found.root, found.train, found.val))
    assert found.as_json(study="reports/mine")["root"].startswith("../../data/scenes/")


def test_plan_names_no_setting_that_came_later_at_its_default(result: Output) -> None:
    for cell in result.cells:
        config = cell_key.cell_config(result.study, cell.variant, cell.seed)
        config["data"].pop("flip")  # as of a version that did not know it
        data = {"root_hash": result.source.root_hash}
        fill(replace(cell, key="0" * 64), config=config, data=data)
    found = plan(result, result.cells, jobs=1)
    assert {row["state"] for row in found["cells"]} == {"stale"}
    assert {why for row in found["cells"] for why in row["changed"]} == {
        "the version of the results (see fpnprobe.results_version)"
    }


@pytest.mark.parametrize("key", ["of this study", "old"])
def test_a_plan_takes_entries_that_are_null_for_none(key: str, result: Output) -> None:
    """As a person or another program may leave them."""
    nulls = dict.fromkeys(("timings", "config", "data", "code", "reason", "versions"))
    for cell in result.cells:
        fill(cell)
        stored_key = cell.key if key == "of this study" else key
        write_manifest(cell.folder, {**nulls, "key": stored_key, "state": "done"})
    rows = plan(result, result.cells, jobs=1)["cells"]
    assert {(row["code"], row["reason"]) for row in rows} == {("", "")}
    display = [Tracked(cell, 10, State.DONE) for cell in result.cells]
    assert _estimate_remaining(display, jobs=1, images=6) == 0
