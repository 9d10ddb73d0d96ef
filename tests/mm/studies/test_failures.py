"""A cell that fails says why, keeps what it has, and lets the others go on."""

import errno
import os
import pickle
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.training.loop import CellLoop
from fpnprobe.mm.training.saved import checkpoint
from fpnprobe.mm.training.saved.keeper import Stopped
from fpnprobe.mm.training.team import Team
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner import exit_codes, worker
from fpnprobe.study.runner.launchers import Launch
from fpnprobe.study.runner.local import run as run_cells
from fpnprobe.study.runner.training import assist
from tests.mm.studies.test_resume import StopAfter, assert_same_cell, run
from tests.mm.studies.test_slurm import Silent
from tests.mm.tiny import tiny


def reason(result: Output, code: int = exit_codes.FAILED) -> str:
    assert worker.run(result, "FPN", 0, device="cpu", stop=threading.Event()) == code
    assert result.cells[0].state() == "failed"
    assert "Traceback" in (result.cells[0].folder / "log.txt").read_text()
    return str((result.cells[0].manifest() or {})["reason"])


def test_a_loss_that_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = CellLoop.run_iter

    def poisoned(self: CellLoop, data_batch: Any) -> None:
        original(self, data_batch)
        self.last_loss = float("nan") if self._iter == 3 else self.last_loss

    monkeypatch.setattr(CellLoop, "run_iter", poisoned)
    found = reason(tiny(tmp_path))
    assert found.startswith("loss not finite: loss is nan at iteration 2")
    assert "schedule.lr" in found


def test_a_loss_that_is_not_finite_is_not_saved_where_it_is_fetched_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CUDA only every twentieth loss is fetched, and those before a state is saved."""
    original = CellLoop.run_iter

    def poisoned(self: CellLoop, data_batch: Any) -> None:
        original(self, data_batch)
        self.last_loss = None
        self.loss = self.loss * float("nan") if self._iter >= 4 else self.loss

    monkeypatch.setattr(CellLoop, "run_iter", poisoned)
    result = tiny(tmp_path)  # a state is saved after every pass
    assert reason(result).startswith("loss not finite: loss is nan at iteration 3")
    saved = checkpoint.read(result.cells[0].folder / "checkpoints/resume.pt")
    assert saved["iteration"] == 3
    last = tiny(tmp_path / "last", resources__checkpoint_seconds=1e9)
    assert reason(last).startswith("loss not finite: loss is nan at iteration 7")
    assert not (last.cells[0].folder / "checkpoints/final.pt").exists()


def test_a_picture_that_fails_is_a_hole_of_a_trained_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise FpnProbeError("this detector has no pyramid")

    monkeypatch.setattr("fpnprobe.mm.inspect.feature_maps.save", refuse)
    result = tiny(tmp_path, schedule__iterations=2)
    code = worker.run(result, "FPN", 0, device="cpu", stop=threading.Event())
    cell = result.cells[0]
    assert (code, cell.state()) == (exit_codes.DONE, "done")
    assert (cell.manifest() or {})["holes"] == {"features": "this detector has no pyramid"}
    assert (cell.folder / "evaluation.parquet").is_file()
    monkeypatch.setattr("fpnprobe.evaluation.evaluate", refuse)
    other = tiny(tmp_path / "other", schedule__iterations=2)
    assert reason(other) == "this detector has no pyramid"


def test_a_study_that_another_runner_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    result = tiny(tmp_path, schedule__iterations=2)
    words = [str(result.out), "--variant", "FPN", "--seed", "0", "--key"]
    assert worker.main([*words, "of other settings"]) == exit_codes.OTHER
    assert not (result.cells[0].folder / "manifest.json").exists()
    assert worker.main([*words, result.cells[0].key]) == exit_codes.DONE


def test_further_processes_do_what_the_first_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guessing from the files, they would wait for one that does not train."""
    result = tiny(tmp_path, schedule__iterations=2, probe__mode=None)
    done: list[str] = []

    def train(*_: Any, **__: Any) -> None:
        done.append("train")
        raise Stopped

    monkeypatch.setattr("fpnprobe.mm.training.train.train", train)
    monkeypatch.setattr(
        "fpnprobe.study.runner.training._predict_share", lambda *_, **__: done.append("predict")
    )
    for tasks in ([], ["predict"], ["train", "predict"]):
        messages = [(task, "final.pt") for task in tasks]
        team = cast(Team, SimpleNamespace(tasks=partial(iter, messages)))
        for asked in (False, True):
            done.clear()
            whole = assist(
                result, result.cells[0], team=team, device="cpu", stop=partial(bool, asked)
            )
            assert (done, whole) == (tasks, not asked)


def test_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: CellLoop, data_batch: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(CellLoop, "run_iter", full)
    found = reason(tiny(tmp_path))
    assert found.startswith("out of memory")
    assert "schedule.accumulate" in found


def test_a_full_disk_in_the_middle_of_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole")
    original, count = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal count
        path = str(Path(f"/proc/self/fd/{handle}").readlink())
        if "resume.pt" in path:
            count += 1
            if count == 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    found = reason(tiny(tmp_path / "full"), exit_codes.DISK_FULL)
    assert found.startswith("disk full")
    assert "make space" in found
    folder = tmp_path / "full/cells/fpn/seed-0"
    assert checkpoint.read(folder / "checkpoints/resume.pt")["iteration"] == 3  # the one before
    assert not list(folder.rglob(".*"))
    assert_same_cell(run(tmp_path / "full"), whole)


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("kind", ["cut", "pickle", "text", "model", "list"])
def test_a_checkpoint_that_is_none(kind: str, tmp_path: Path) -> None:
    result = tiny(tmp_path)
    stop = StopAfter(3)
    assert worker.run(result, "FPN", 0, device="cpu", stop=stop) == exit_codes.STOPPED
    path, mark = result.cells[0].folder / "checkpoints/resume.pt", tmp_path / "executed"
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    elif kind == "text":
        path.write_text("weights")
    elif kind == "list":
        torch.save([1, 2], path)
    else:
        content = checkpoint.read(path)
        content["model"] = {"backbone.weight": torch.zeros(3)}
        checkpoint.write(path, content)
    found = reason(result)
    assert "--fresh" in found or "expected a checkpoint" in found
    assert "resume.pt" in found or "another model" in found
    assert "\n" not in found
    assert not mark.exists()


def test_final_weights_are_not_executed(tmp_path: Path) -> None:
    folder = run(tmp_path, schedule__iterations=2)
    (folder / "checkpoints/final.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    with pytest.raises(FpnProbeError, match="without running code"):
        checkpoint.read(folder / "checkpoints/final.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("keep_going", [True, False])
def test_one_cell_fails_and_the_others_go_on_or_not(tmp_path: Path, keep_going: bool) -> None:
    broken = {"name": "broken", "build": "FPN", "detector": {"frameworks": "retinanet"}}
    result = tiny(tmp_path, variants=[broken, "FPN"], schedule__iterations=2, probe__mode=None)
    found = run_cells(
        result, result.cells, launch=Launch(), jobs=1, keep_going=keep_going, watcher=Silent()
    )
    assert found[0].state == "failed"
    assert "did you mean framework" in found[0].reason
    assert result.cells[1].state() == ("done" if keep_going else "pending")
