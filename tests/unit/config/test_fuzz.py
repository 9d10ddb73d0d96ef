"""Mutated study files, annotations and study.json: an error of ours or none, never a traceback."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fpnprobe.data import coco
from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import Ledger
from fpnprobe.study import load
from fpnprobe.study.snapshot import status
from tests.unit.study.conftest import content
from tests.unit.study.test_bad_input import write_data

VALUES: list[object] = [
    None,
    -1,
    0,
    1e308,
    float("nan"),
    "x",
    "",
    [],
    {},
    [[]],
    True,
    "../../x",
    2**70,
]


def mutate_bytes(raw: bytes, dice: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        position = dice.randrange(len(data) or 1)
        kind = dice.randrange(4)
        if kind == 0:
            del data[position : position + dice.randint(1, 40)]
        elif kind == 1:
            data[position:position] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 9)))
        elif kind == 2 and data:
            data[position % len(data)] = dice.randrange(256)
        else:
            data = data[:position]
    return bytes(data)


def mutate_json(node: object, dice: random.Random) -> object:
    if isinstance(node, dict) and node:
        key = dice.choice(list(node))
        if dice.random() < 0.1:
            return {k: v for k, v in node.items() if k != key}
        return {**node, key: mutate_json(node[key], dice)}
    if isinstance(node, list) and node and dice.random() < 0.9:
        index = dice.randrange(len(node))
        return [*node[:index], mutate_json(node[index], dice), *node[index + 1 :]]
    return dice.choice(VALUES)


def hammer(attempt: Callable[[random.Random], object], rounds: int) -> None:
    for seed in range(rounds):
        try:
            attempt(random.Random(seed))
        except FpnProbeError as error:
            assert str(error).strip()
        except Exception as error:
            raise AssertionError(f"round {seed}: {type(error).__name__}: {error}") from error


def study_files(tmp_path: Path, rounds: int) -> None:
    text = "\n".join(f"{key} = {value!r}" for key, value in content().items())
    file = tmp_path / "study.py"

    def attempt(dice: random.Random) -> None:
        if dice.random() < 0.5:
            file.write_bytes(mutate_bytes(text.encode(), dice))
        else:
            changed = mutate_json(content(), dice)
            assert isinstance(changed, dict)
            lines = (f"{key} = {value!r}" for key, value in changed.items())
            file.write_text("nan = float('nan')\n" + "\n".join(lines))
        load(file)

    hammer(attempt, rounds)


def annotations(tmp_path: Path, rounds: int) -> None:
    write_data()
    file = Path("data/annotations/train.json")
    original = json.loads(file.read_text())

    def attempt(dice: random.Random) -> None:
        if dice.random() < 0.3:
            file.write_bytes(mutate_bytes(json.dumps(original).encode(), dice))
        else:
            file.write_text(json.dumps(mutate_json(original, dice)))
        coco.check("data", "train")

    hammer(attempt, rounds)


def ledgers(tmp_path: Path, rounds: int) -> None:
    file = tmp_path / "ledger.parquet"
    pd.DataFrame({"study": ["a"] * 50, "l2": [1.0] * 50}).to_parquet(file)
    original = file.read_bytes()

    def attempt(dice: random.Random) -> None:
        file.write_bytes(mutate_bytes(original, dice))
        Ledger.read(tmp_path)

    hammer(attempt, rounds)


def outputs(tmp_path: Path, rounds: int) -> None:
    from fpnprobe.config import loading
    from fpnprobe.study.folder import study_folder
    from tests.unit.study.conftest import SOURCE

    result = study_folder.of(loading.validate(content()), source=SOURCE, out=tmp_path)
    result.write()
    file = tmp_path / "study.json"
    original = json.loads(file.read_text())

    def attempt(dice: random.Random) -> None:
        file.write_text(json.dumps(mutate_json(original, dice)))
        status(tmp_path)

    hammer(attempt, rounds)


TARGETS = [study_files, annotations, ledgers, outputs]


@pytest.mark.parametrize("target", TARGETS)
def test_fuzz(
    target: Callable[[Path, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    target(tmp_path, 300)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_fuzz_for_longer(
    target: Callable[[Path, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    target(tmp_path, 8000)
