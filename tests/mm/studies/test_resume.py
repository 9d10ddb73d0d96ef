"""Stopping and going on gives the bits of never having stopped."""

import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from fpnprobe.mm.training.saved import checkpoint
from fpnprobe.study.runner import exit_codes, worker
from tests.mm.tiny import tiny

RESULTS = (
    "detections.json.gz", "ledger.parquet", "conflict.parquet", "evaluation.parquet",
    "training.parquet",
)  # fmt: skip


def final_weights(folder: Path) -> dict[str, Any]:
    content = checkpoint.read(folder / "checkpoints" / "final.pt")
    return dict(content["state_dict"])


def assert_same_cell(one: Path, other: Path) -> None:
    ours, theirs = final_weights(one), final_weights(other)
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        assert torch.equal(weight, theirs[name]), name
    for name in RESULTS:
        assert (one / name).exists() == (other / name).exists(), name
        if name.endswith(".parquet"):
            pd.testing.assert_frame_equal(
                pd.read_parquet(one / name), pd.read_parquet(other / name), check_exact=True
            )
        elif (one / name).exists():
            assert (one / name).read_bytes() == (other / name).read_bytes(), name


def run(out: Path, **changes: Any) -> Path:
    result = tiny(out, **changes)
    code = worker.run(result, "FPN", 0, device="cpu", stop=threading.Event())
    folder = result.cells[0].folder
    assert code == exit_codes.DONE, (folder / "log.txt").read_text()
    return folder


class StopAfter(threading.Event):
    """Set from its n-th question on: one question before training, one per optimizer step."""

    def __init__(self, questions: int) -> None:
        super().__init__()
        self.left = questions

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def stop_after(out: Path, steps: int, **changes: Any) -> None:
    result = tiny(out, **changes)
    code = worker.run(result, "FPN", 0, device="cpu", stop=StopAfter(steps))
    assert code == exit_codes.STOPPED
    assert result.cells[0].state() == "interrupted"
    state = checkpoint.read(result.cells[0].folder / "checkpoints" / "resume.pt")
    assert state["iteration"] > 0


@pytest.mark.parametrize("changes", [{}, {"schedule__accumulate": 2, "schedule__optimizer": "SGD"}])
def test_resumed_training_gives_the_same_bits(tmp_path: Path, changes: dict[str, Any]) -> None:
    whole = run(tmp_path / "whole", **changes)
    stop_after(tmp_path / "parts", 3, **changes)
    stop_after(tmp_path / "parts", 3, **changes)
    assert_same_cell(run(tmp_path / "parts", **changes), whole)
    assert not (tmp_path / "parts/cells/fpn/seed-0/checkpoints/resume.pt").exists()


def test_workers_and_no_cache_give_the_same_samples(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    changes = {"schedule__workers": 1, "data__cache": False}
    assert_same_cell(run(tmp_path / "loaded", **changes), whole)


def test_another_seed_gives_other_bits(tmp_path: Path) -> None:
    one = run(tmp_path / "one", schedule__iterations=2)
    other = tiny(tmp_path / "other", schedule__iterations=2, seeds=[1])
    worker.run(other, "FPN", 1, device="cpu", stop=threading.Event())
    first, second = final_weights(one), final_weights(other.cells[0].folder)
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_a_state_of_other_settings_is_refused(tmp_path: Path) -> None:
    stop_after(tmp_path, 3)
    path = tmp_path / "cells/fpn/seed-0/checkpoints/resume.pt"
    content = checkpoint.read(path)
    checkpoint.write(path, content | {"key": "another"})
    result = tiny(tmp_path)
    assert worker.run(result, "FPN", 0, device="cpu", stop=threading.Event()) == exit_codes.FAILED
    assert "other settings" in (result.cells[0].manifest() or {})["reason"]
