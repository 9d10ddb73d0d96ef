"""Progress is shown on a terminal and piped, with an estimate that was measured."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fpnprobe.store.cell_state import State
from fpnprobe.study.folder.progress import ProgressWriter, read
from fpnprobe.study.folder.stage_words import StageWords
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner import estimate
from fpnprobe.study.runner.display import Display
from fpnprobe.study.runner.estimate import Remaining
from fpnprobe.study.runner.steps import STEPS
from fpnprobe.study.runner.tracked_cells import Tracked


def tracked(result: Output) -> list[Tracked]:
    return [Tracked(cell, result.iterations) for cell in result.cells]


@pytest.mark.parametrize("terminal", [True, False])
def test_every_state_is_shown(terminal: bool, result: Output) -> None:
    rows = tracked(result)
    rows[0].state = State.DONE
    rows[1].state, rows[1].reason = State.FAILED, "out of memory"
    rows[2].elsewhere = True
    shown = io.StringIO()
    display = Display(jobs=2, words=StageWords(images=6))
    display._console = Console(file=shown, force_terminal=terminal, width=160)
    with display:
        display.update(rows)
        display.say("a line")
    text = shown.getvalue()
    for part in ("DC5 seed 0", "out of memory", "another runner has it", "a line"):
        assert part in text


def test_stages_are_told_in_words_and_what_a_start_does(result: Output) -> None:
    (row, *_) = tracked(result)
    row.process = object()  # type: ignore[assignment]
    row.cell.folder.mkdir(parents=True)
    shown = io.StringIO()
    display = Display(jobs=1, words=StageWords(images=6, offline=4))
    display._console = Console(file=shown, force_terminal=False, width=160)
    write = ProgressWriter(row.cell.folder, iterations=5, every=100)
    with display:
        display.update([row])
        readings: list[dict[str, Any]] = [
            {"doing": "importing torch and mmdet"}, {"doing": "building the model"},
            {"stage": "train", "iteration": 1}, *({"stage": step.name} for step in STEPS),
            {"stage": "done"},
        ]  # fmt: skip
        for changes in readings:
            write(**changes)
            display.update([row])
    told = [line.partition(": ")[2] for line in shown.getvalue().splitlines()]
    assert told == [
        "starting: its process begins",
        "starting: importing torch and mmdet",
        "starting: building the model",
        "training",
        "predicting the 6 validation images",
        "predicting the 6 validation images with earlier weights",
        "computing AP of its detections",
        "storing feature maps of validation images",
        "reading gradients of 4 validation images with the final weights",
        "finishing: its process ends",
    ]


def test_estimate_uses_what_was_measured() -> None:
    todo = [Remaining("DC5", 10), Remaining("FPN", 10)]
    assert estimate.seconds_left(todo, jobs=1, images=100) is None
    one = estimate.seconds_left(todo, jobs=1, images=100, known={"DC5": 1.0}, tails=[5.0])
    assert one == 2 * (10 * 1.0 + 5.0 + 12.0)
    two = estimate.seconds_left(todo, jobs=2, images=100, known={"DC5": 1.0}, tails=[5.0])
    assert two == 10 * 1.0 + 5.0 + 12.0
    assert estimate.seconds_left([], jobs=1, images=1) == 0


def test_progress_is_whole_at_every_moment(tmp_path: Path) -> None:
    write = ProgressWriter(tmp_path, iterations=5, every=100)
    assert read(tmp_path) is None
    write(stage="train", iteration=1)
    write(iteration=2)  # too soon to be written
    assert (found := read(tmp_path)) is not None
    assert found.iteration == 1
    write(stage="predict", iteration=5)
    assert (found := read(tmp_path)) is not None
    assert (found.stage, found.iteration) == ("predict", 5)
    assert found.updated <= time.time()
    (tmp_path / "progress.json").write_text("{")
    assert read(tmp_path) is None
