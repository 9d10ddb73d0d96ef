"""`fpnprobe bench training` measures what it says; how fast this machine is, is not tested."""

from pathlib import Path

import pytest
import torch

from fpnprobe.bench.training import run
from fpnprobe.mm.bench import timing
from fpnprobe.mm.bench.batch_shapes import ShapesHook
from fpnprobe.mm.bench.training_parts import PARTS
from tests.mm.tiny import study_file


def test_ours_and_stock_are_timed_with_their_parts_and_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timing, "_PATIENCE", -1.0)
    result = run(study_file(tmp_path), iterations=3, warmup=1, rounds=1)
    assert result["ours"]["wall"] > 0 and result["stock"]["wall"] > 0
    assert result["speedup"] == result["stock"]["wall"] / result["ours"]["wall"]
    assert set(result["parts"]) == {*PARTS, "probe"}
    assert result["shapes"]["shapes"] == 1  # scenes are squares
    assert result["shapes"]["new_s"] > 0 and result["shapes"]["seen_s"] > 0
    assert capsys.readouterr().err.count("bench training: turn") == 2


def test_the_first_iteration_of_each_shape_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    hook, times = ShapesHook(), iter([0.0, 9.0, 10.0, 11.0, 20.0, 28.0, 30.0, 33.0])
    monkeypatch.setattr("fpnprobe.mm.bench.batch_shapes._now", lambda: next(times))
    for side in (32, 32, 64, 32):
        hook.before_train_iter()
        hook._note(None, (torch.zeros(1, 3, side, side),))
        hook.after_train_iter()
    assert hook.summary() == {"shapes": 2, "new_s": 8.5, "seen_s": 2.0}
