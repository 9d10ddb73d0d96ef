"""Damage after the fact: made again from what is there, or told; never trained, never silent."""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.training.saved import checkpoint
from fpnprobe.store import State
from fpnprobe.study.folder import study_folder
from fpnprobe.study.folder.mending import find_damage
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner import exit_codes, worker
from fpnprobe.study.runner.tracked_cells import Tracked, check_if_done
from tests.mm.studies.test_resume import StopAfter, assert_same_cell
from tests.mm.tiny import tiny

CHANGES: dict[str, Any] = {"schedule__iterations": 4, "probe__interval": 1, "probe__offline": 1}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Output:
    result = tiny(tmp_path_factory.mktemp("whole"), **CHANGES)
    assert worker.run(result, "FPN", 0, device="cpu", stop=threading.Event()) == exit_codes.DONE
    return result


@pytest.fixture
def copy(whole: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Output:
    """A copy of the finished study in which nothing may be trained."""

    def train(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("fpnprobe.mm.training.train.train", train)
    shutil.copytree(whole.out, tmp_path / "copy")
    return study_folder.read(tmp_path / "copy")


def run(result: Output) -> int:
    return worker.run(result, "FPN", 0, device="cpu", stop=threading.Event())


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(byte ^ 0xFF for byte in content[middle : middle + 20])
    file.write_bytes(content)


DAMAGES = (cut, empty, flip, Path.unlink)
MADE_AGAIN = (
    "evaluation.parquet", "detections.json.gz", "features/index.json",
    "offline/iteration-4/ledger.parquet",
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=["cut", "empty", "flip", "unlink"])
@pytest.mark.parametrize("name", MADE_AGAIN)
def test_a_step_is_made_again_without_training(
    name: str, damage: Callable[[Path], Any], copy: Output, whole: Output
) -> None:
    cell = copy.cells[0]
    damage(cell.folder / name)
    tracked = Tracked(cell, copy.iterations)
    check_if_done(tracked)
    assert (tracked.state, tracked.mend) == (State.PENDING, True)
    assert run(copy) == exit_codes.DONE, (cell.folder / "log.txt").read_text()
    assert not find_damage(cell.stored())
    assert_same_cell(cell.folder, whole.cells[0].folder)
    assert f"{name} was " in (cell.manifest() or {})["notes"][0]
    check_if_done(tracked)
    assert tracked.state is State.DONE


@pytest.mark.parametrize("name", ["ledger.parquet", "training.parquet", "checkpoints/final.pt"])
def test_what_only_training_makes_is_an_error_that_names_it(name: str, copy: Output) -> None:
    cell = copy.cells[0]
    flip(cell.folder / name)
    tracked = Tracked(cell, copy.iterations)
    for _ in range(2):  # it is not forgotten
        check_if_done(tracked)
        assert tracked.state is State.FAILED
        assert f"{name} is changed since the cell was finished" in tracked.reason
        assert run(copy) == exit_codes.DONE
    assert (cell.manifest() or {})["state"] == "done", "it is, once the file is put back"


def test_a_clone_without_weights_and_detections_is_done(copy: Output) -> None:
    """A repository that ignores what is heavy; what was changed there can not be made again."""
    cell = copy.cells[0]
    shutil.rmtree(cell.folder / "checkpoints")
    shutil.rmtree(cell.folder / "features")
    kept = (cell.folder / "detections.json.gz").read_bytes()
    (cell.folder / "detections.json.gz").unlink()
    assert not find_damage(cell.stored())
    (cell.folder / "detections.json.gz").write_bytes(kept[:-9])
    assert find_damage(cell.stored()).lost == {"detections.json.gz": "changed"}


def test_an_older_cell_has_no_digests(copy: Output) -> None:
    cell = copy.cells[0]
    content = {key: value for key, value in (cell.manifest() or {}).items() if key != "files"}
    (cell.folder / "manifest.json").write_text(json.dumps(content))
    assert not find_damage(cell.stored())
    (cell.folder / "evaluation.parquet").unlink()
    assert run(copy) == exit_codes.DONE
    assert len(pd.read_parquet(cell.folder / "evaluation.parquet"))


@pytest.mark.parametrize("damage", DAMAGES, ids=["cut", "empty", "flip", "unlink"])
def test_a_cell_whose_manifest_is_damaged_is_kept(
    damage: Callable[[Path], Any], copy: Output, whole: Output
) -> None:
    """Its weights tell whose it is, so that it goes on where it was."""
    cell = copy.cells[0]
    damage(cell.folder / "manifest.json")
    assert cell.state() is State.DAMAGED
    assert run(copy) == exit_codes.DONE
    assert "manifest.json" in (cell.manifest() or {})["notes"][0]
    assert_same_cell(cell.folder, whole.cells[0].folder)


def test_weights_of_another_cell_prove_nothing(copy: Output) -> None:
    cell = copy.cells[0]
    cut(cell.folder / "manifest.json")
    other = replace(copy, cells=(replace(cell, key="0" * 64),))
    assert run(other) == exit_codes.FAILED  # since nothing may be trained here
    assert (copy.out / "archive/damaged-1/checkpoints/final.pt").is_file()


@pytest.mark.parametrize("name", ["ledger.parquet", "training.parquet"])
def test_a_table_damaged_before_the_cell_is_finished(name: str, copy: Output) -> None:
    cell = copy.cells[0]
    content = {**(cell.manifest() or {}), "state": "running"}
    (cell.folder / "manifest.json").write_text(json.dumps(content))
    flip(cell.folder / name)
    for _ in range(2):
        assert run(copy) == exit_codes.FAILED
        assert f"{name} is changed since the training ended" in (cell.manifest() or {})["reason"]


@pytest.mark.parametrize("damage", [cut, empty, flip], ids=["cut", "empty", "flip"])
def test_a_damaged_state_is_an_error(damage: Callable[[Path], Any], tmp_path: Path) -> None:
    result = tiny(tmp_path, **CHANGES)
    assert worker.run(result, "FPN", 0, device="cpu", stop=StopAfter(3)) == exit_codes.STOPPED
    damage(result.cells[0].folder / "checkpoints/resume.pt")
    assert run(result) == exit_codes.FAILED
    reason = (result.cells[0].manifest() or {})["reason"]
    assert "resume.pt is damaged" in reason
    assert "PyTorch" not in reason


def test_a_resumed_cell_whose_ledger_is_gone_is_an_error(tmp_path: Path) -> None:
    result = tiny(tmp_path, **CHANGES)
    assert worker.run(result, "FPN", 0, device="cpu", stop=StopAfter(3)) == exit_codes.STOPPED
    (result.cells[0].folder / "ledger.parquet").unlink()
    for _ in range(2):
        assert run(result) == exit_codes.FAILED
        assert "ledger.parquet has lost rows: 0 of" in (result.cells[0].manifest() or {})["reason"]


def test_a_state_that_lacks_a_part(tmp_path: Path) -> None:
    result = tiny(tmp_path, **CHANGES)
    assert worker.run(result, "FPN", 0, device="cpu", stop=StopAfter(3)) == exit_codes.STOPPED
    file = result.cells[0].folder / "checkpoints/resume.pt"
    content = checkpoint.read(file)
    del content["schedulers"]
    checkpoint.write(file, content)
    assert run(result) == exit_codes.FAILED
    assert "has no 'schedulers'" in (result.cells[0].manifest() or {})["reason"]


def test_every_flipped_byte_of_the_weights_is_noticed_or_harmless(whole: Output) -> None:
    """Check sums cover all that is loaded; bytes between the records change nothing."""
    file = whole.cells[0].folder / "checkpoints/final.pt"
    content, reference = file.read_bytes(), checkpoint.read(file)
    noticed = 0
    for place in range(7, len(content), len(content) // 40):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        other = file.with_name("flipped.pt")
        other.write_bytes(changed)
        try:
            state = checkpoint.read(other)["state_dict"]
        except FpnProbeError:
            noticed += 1
        else:
            assert all(state[key].equal(reference["state_dict"][key]) for key in state)
        other.unlink()
    assert noticed > 30
