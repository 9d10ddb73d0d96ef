"""Rounds of a tiny cell that is killed and damaged: `python -m tests.mm.studies.rounds kill 50`.

Each round runs one cell in forked processes that are killed at random moments, then lets it end and
compares it with an undisturbed one. Three kinds:

- `kill`: killed one to three times;
- `damage`: killed once, then a random file of the cell is cut, flipped, emptied or deleted;
- `two`: two processes want the cell at once, and one of them is killed.

The outcome of a round is `equal` (every table and weight as undisturbed), `named` (an error that
names the damaged file) or a text that begins with `WRONG`.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fpnprobe.store import State
from fpnprobe.study.runner import exit_codes, worker
from fpnprobe.study.runner.tracked_cells import Tracked, check_if_done
from tests.mm.studies.test_resume import assert_same_cell
from tests.mm.tiny import tiny

CHANGES: dict[str, Any] = {
    "schedule__iterations": 8, "probe__interval": 1, "probe__offline": 1, "probe__snapshots": [0.5],
}  # fmt: skip
KINDS = ("kill", "damage", "two")
_NOT_RESULTS = ("lock",)


def start(out: Path) -> int:
    """Run the cell in a forked process, as `run-study` does after writing `study.json`."""
    pid = os.fork()
    if pid:
        return pid
    try:
        quiet = os.open(os.devnull, os.O_RDWR)
        for handle in (0, 1, 2):
            os.dup2(quiet, handle)
        result = tiny(out, **CHANGES)
        code = worker.run(result, "FPN", 0, device="cpu", stop=threading.Event())
    except BaseException:
        code = 99
    os._exit(code)


def wait(pid: int) -> int:
    """The exit code of a process, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_after(pid: int, seconds: float) -> None:
    """SIGKILL a process, unless it ends before."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def damage(folder: Path, dice: random.Random) -> str:
    """Damage a random file of a cell; return its name in the folder and how."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in _NOT_RESULTS)
    if not files:
        return ""
    file, how = dice.choice(files), dice.choice(["cut", "flip", "empty", "delete"])
    content = bytearray(file.read_bytes())
    place = dice.randrange(len(content)) if content else 0
    if how == "delete":
        file.unlink()
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "cut":
        file.write_bytes(content[:place])
    else:
        content[place : place + 20] = bytes(b ^ 0xFF for b in content[place : place + 20])
        file.write_bytes(content)
    return f"{file.relative_to(folder)} {how}"


def record_exit(out: Path, whole: Path, code: int, damaged: str) -> str:
    """What became of a round."""
    cell = tiny(out, **CHANGES).cells[0]
    tracked = Tracked(cell, 8)
    check_if_done(tracked)
    reason = tracked.reason or str((cell.manifest() or {}).get("reason", ""))
    if tracked.state is State.DONE:
        try:
            assert_same_cell(cell.folder, whole)
        except (AssertionError, FileNotFoundError) as error:
            return f"WRONG: done and different after {damaged or 'kills'}: {str(error)[:200]}"
        return "equal"
    name = damaged.split(" ")[0]
    file = Path(name)
    # Of a part that is gone, and the last one, nothing tells the name: its folder is told.
    if name and (file.name in reason or (file.parent.name or file.name) in reason):
        return "named"
    return f"WRONG: {tracked.state}, code {code}, after {damaged or 'kills'}: {reason[:200]}"


def rounds(kind: str, count: int, *, seed: int, root: Path) -> Iterator[tuple[str, str]]:
    """Play rounds of a kind; yield what was done and the outcome of each."""
    dice = random.Random(seed)
    began = time.monotonic()
    if wait(start(root / "whole")) != exit_codes.DONE:
        raise RuntimeError("the undisturbed cell failed")
    length = time.monotonic() - began
    whole = tiny(root / "whole", **CHANGES).cells[0].folder
    for number in range(count):
        out = root / f"{kind}-{number}"
        damaged = ""
        moments = [dice.uniform(0, 1.1 * length) for _ in range(dice.randint(1, 3))]
        if kind == "two":
            first, second = start(out), start(out)
            kill_after(first, moments[0])
            wait(second)
        else:
            for moment in moments if kind == "kill" else moments[:1]:
                kill_after(start(out), moment)
        if kind == "damage":
            damaged = damage(tiny(out, **CHANGES).cells[0].folder, dice)
        code = wait(start(out))
        yield f"{damaged or f'{len(moments)} kills'}", record_exit(out, whole, code, damaged)
        shutil.rmtree(out)


def main(kind: str, count: int, say: Callable[[str], object] = print) -> Counter[str]:
    """Play rounds and print what came of them."""
    import fpnprobe.mm.training.train  # noqa: F401 -- once, before the forks
    from fpnprobe.mm.inspect import feature_maps, offline  # noqa: F401

    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for what, outcome in rounds(kind, count, seed=KINDS.index(kind), root=Path(folder)):
            outcomes[outcome.split(":")[0]] += 1
            say(f"{kind} {sum(outcomes.values())}: {what}: {outcome}")
    say(f"{kind}: {dict(outcomes)}")
    return outcomes


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), lambda line: print(line, flush=True))
