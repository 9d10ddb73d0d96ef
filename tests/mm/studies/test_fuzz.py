"""2,000 mutated inputs of seven kinds: an error of ours in one line, or none; never more.

Study files, overrides, manifests and `study.json`, and ledgers are played by
`tests/unit/store/test_fuzz.py`; annotations, detections and checkpoints here, as a user's commands
read them. The law is in `tests/unit/store/fuzzing.py`: exit code 2 or 3, no traceback, at most 10 s
and 2 GB for an input.
"""

import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpnprobe.data import coco
from fpnprobe.evaluation import evaluate
from fpnprobe.mm.inspect.weights import read_weights
from fpnprobe.mm.training.saved import checkpoint
from tests.unit.data import mutations
from tests.unit.store.fuzzing import as_text, change_json, changes, edit_bytes, edits, survive
from tests.unit.store.test_fuzz import KINDS, make_run, play

SHORT, INPUTS = 12, 2000
OWN = ("annotations", "detections", "checkpoint")
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
Act = Callable[[Any], None]


def mutated(raw: bytes, wanted: Any) -> bytes:
    """The bytes with edits, or their JSON with changes."""
    if len(wanted[0]) == 3:
        return edit_bytes(raw, wanted)
    return as_text(change_json(json.loads(raw), wanted)).encode("utf-8", "surrogatepass")


def reader_of_annotations(folder: Path, outcomes: Counter[str]) -> Act:
    root = folder / "data"
    mutations.write_pictures(root)
    mutations.write(root, [], both=True)
    file = root / "annotations" / "train.json"
    raw = file.read_bytes()

    def act(wanted: Any) -> None:
        file.write_bytes(mutated(raw, wanted))
        survive(lambda: coco.check(root, "train"), outcomes)

    return act


def reader_of_detections(folder: Path, outcomes: Counter[str]) -> Act:
    truth = folder / "truth.json"
    content = mutations.good(0)
    truth.write_text(json.dumps(content))
    keys = ("image_id", "category_id", "bbox", "segmentation")
    found = [
        {key: entry[key] for key in keys} | {"score": 1 / (number + 2)}
        for number, entry in enumerate(content["annotations"])
    ]
    raw, file = json.dumps(found).encode(), folder / "found.json"

    def act(wanted: Any) -> None:
        file.write_bytes(mutated(raw, wanted))
        for kind in ("bbox", "segm"):
            for engine in ("hotcoco", "pycocotools"):
                survive(
                    lambda kind=kind, engine=engine: evaluate(  # type: ignore[misc]
                        truth, file, iou_type=kind, engine=engine
                    ),
                    outcomes,
                )

    return act


def reader_of_checkpoints(folder: Path, outcomes: Counter[str]) -> Act:
    file = folder / "resume.pt"
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": 3}
    checkpoint.write(file, {"key": "0" * 64, "random": [checkpoint.random_states()], **state})
    raw = file.read_bytes()

    def act(wanted: Any) -> None:
        content = raw
        if len(wanted[0]) == 2:  # of one entry of its zip archive, with a sum that is right
            content = repacked(raw, wanted, folder / "packed.pt")
        file.write_bytes(edit_bytes(content, wanted) if len(wanted[0]) == 3 else content)
        survive(lambda: checkpoint.read(file), outcomes)
        survive(lambda: read_weights(file), outcomes)

    return act


def repacked(raw: bytes, wanted: Any, file: Path) -> bytes:
    """A checkpoint with its pickle or a number in it changed, and the archive whole."""
    file.write_bytes(raw)
    with zipfile.ZipFile(file) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    for path, value in wanted:
        name = list(entries)[int(path[0] * len(entries))]
        edit = (path[-1], "set", repr(value).encode("utf-8", "replace")[:20])
        entries[name] = edit_bytes(entries[name], [edit])
    with zipfile.ZipFile(file, "w") as new:
        for name, content in entries.items():
            new.writestr(name, content)
    return file.read_bytes()


READERS = {
    "annotations": reader_of_annotations,
    "detections": reader_of_detections,
    "checkpoint": reader_of_checkpoints,
}


def play_own(kind: str, folder: Path, examples: int, *, steady: bool) -> Counter[str]:
    """Give so many mutated inputs of a kind to its readers."""
    outcomes: Counter[str] = Counter()
    act = READERS[kind](folder, outcomes)
    options = settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=QUIET,
        derandomize=steady,
        database=None,
    )
    options(given(st.one_of(edits, changes))(lambda wanted: act(wanted)))()
    return outcomes


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", OWN)
def test_one_line_or_nothing(kind: str, tmp_path: Path) -> None:
    assert play_own(kind, tmp_path, SHORT, steady=True).total() >= SHORT


@pytest.mark.slow
def test_two_thousand_inputs(tmp_path: Path) -> None:
    kinds = (*KINDS, *OWN)
    each = -(-INPUTS // len(kinds))
    for kind in kinds:
        folder = tmp_path / kind.replace(" ", "-")
        folder.mkdir()
        if kind in OWN:
            outcomes = play_own(kind, folder, each, steady=False)
        else:
            whole = make_run(folder / "whole")
            outcomes = play(kind, whole, folder, each)
        print(f"{kind}: {each} inputs, read: {dict(outcomes)}", flush=True)
