"""Progress of a study on stderr: bars with an honest estimate, or plain lines where piped."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column

from fpnprobe.store.cell_state import State
from fpnprobe.study.folder.stage_words import StageWords
from fpnprobe.study.runner import estimate
from fpnprobe.study.runner.estimate import Remaining
from fpnprobe.study.runner.tracked_cells import Tracked

_EVERY = 30.0  # seconds between two plain lines


def say(text: str, console: Console | None = None) -> None:
    """Print one line on stderr."""
    target = Console(file=sys.stderr) if console is None else console
    target.print(text, highlight=False, markup=False, soft_wrap=True)


class Display:
    """Draws the cells; a `fpnprobe.study.runner.tracked_cells.Watcher`.

    Args:
        jobs: Cells at the same time.
        words: What the stages are called.
    """

    def __init__(self, *, jobs: int, words: StageWords) -> None:
        self._console = Console(file=sys.stderr)
        self._jobs, self._words = jobs, words
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_status: dict[str, str] = {}
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(
                    "{task.fields[note]}",
                    table_column=Column(no_wrap=True, overflow="ellipsis"),
                ),
                console=self._console,
            )
            self._bars.start()
            self._tasks[""] = self._bars.add_task("study", total=None, note="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Print one line."""
        say(text, self._console)

    def update(self, cells: Sequence[Tracked]) -> None:
        """Show where the cells are."""
        left = estimate.text(_estimate_remaining(cells, jobs=self._jobs, images=self._words.images))
        done_cells = sum(cell_run.state is State.DONE for cell_run in cells)
        if self._bars is not None:
            self._bars.update(
                self._tasks[""], completed=done_cells, total=len(cells), note=f"{left} left"
            )
        due = time.monotonic() - self._last >= _EVERY
        for cell_run in cells:
            self._show_cell(cell_run, due)
        if due and self._bars is None:
            self._last = time.monotonic()
            self.say(f"{done_cells} of {len(cells)} cells done, {left} left")

    def _show_cell(self, cell_run: Tracked, due: bool) -> None:
        stage, count, note = _find_stage(cell_run)
        title = cell_run.cell.title
        doing = note if stage == "start" else ""
        words = note if stage == "elsewhere" else self._words.describe(stage, doing)
        note = "" if stage in ("start", "elsewhere") else note
        if self._bars is None:
            status = f"{words} {cell_run.reason}"
            if self._last_status.get(title) != status:
                self._last_status[title] = status
                self.say(f"{title}: {words} {note}".rstrip())
            elif due and stage == "train":
                self.say(f"{title}: {count} of {cell_run.iterations} iterations {note}")
            return
        if title not in self._tasks:
            if cell_run.state is State.PENDING and not cell_run.elsewhere:
                return
            self._tasks[title] = self._bars.add_task(title, total=cell_run.iterations, note="")
        self._bars.update(self._tasks[title], completed=count, note=f"{words} {note}")


def _find_stage(cell_run: Tracked) -> tuple[str, int, str]:
    """Stage, finished iterations and a note of a cell."""
    reading = cell_run.reading()
    count = 0 if reading is None else reading.iteration
    if cell_run.state is State.DONE:
        return "done", cell_run.iterations, ""
    if cell_run.state is State.FAILED:
        return "failed", count, cell_run.reason
    if cell_run.elsewhere:
        return "elsewhere", count, cell_run.reason or "another runner has it"
    if cell_run.state is State.INTERRUPTED:
        return "interrupted", count, ""
    if cell_run.process is None:
        return "waiting", count, ""
    if reading is None or reading.stage == "start":
        return "start", count, "" if reading is None else reading.doing
    if reading.stage in ("done", "failed", "interrupted"):
        return "ending", count, ""
    if reading.stage != "train":  # whose numbers those are
        return reading.stage, count, ""
    speed = "" if reading.per_iteration is None else f"{reading.per_iteration:.2f} s/it"
    loss = "" if reading.loss is None else f" loss {reading.loss:.3f}"
    return reading.stage, count, (speed + loss).strip()


def _estimate_remaining(cells: Sequence[Tracked], *, jobs: int, images: int) -> float | None:
    todo, speeds, tails = [], {}, []
    for cell_run in sorted(cells, key=lambda tracked: tracked.process is None):
        reading = cell_run.reading()
        if cell_run.state in (State.FAILED, State.INTERRUPTED):
            continue
        if cell_run.state is State.DONE:
            timings = (cell_run.cell.manifest() or {}).get("timings") or {}
            if timings.get("per_iteration_s"):
                speeds[cell_run.cell.variant] = timings["per_iteration_s"]
            if timings.get("evaluate_s"):
                tails.append(timings["evaluate_s"])
            continue
        measured = reading.per_iteration if reading is not None and reading.iteration > 4 else None
        todo.append(
            Remaining(
                cell_run.cell.variant,
                cell_run.iterations - (0 if reading is None else reading.iteration),
                measured,
                started=cell_run.process is not None and measured is not None,
            )
        )
    return estimate.seconds_left(todo, jobs=jobs, images=images, known=speeds, tails=tails)
