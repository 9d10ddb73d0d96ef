"""The file by which a folder is a run: its format is published, and another one is refused."""

import json
import math
from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.store.run_file import NAME, RunFile, describe_run, read_run_file
from fpnprobe.store.runs import read_run


def test_what_is_written_is_read_in_format_1(tmp_path: Path) -> None:
    config = {"file": "own.py"}
    file = RunFile(
        tmp_path,
        describe_run(made_by="watch", variant="FPN", buckets=COCO_BUCKETS, config=config),
    )
    file.update(state="done", iteration=30)
    content = read_run_file(tmp_path)
    assert (content["format"], content["state"], content["iteration"]) == (1, "done", 30)
    assert content["config"] == config
    assert content["buckets"] == [
        ["small", 0.0, 1024.0], ["medium", 1024.0, 9216.0], ["large", 9216.0, None],
    ]  # fmt: skip
    assert math.inf == COCO_BUCKETS[-1].high


def test_a_run_that_is_described_no_further_is_the_first_seed_and_has_begun() -> None:
    content = describe_run(made_by="watch", variant="FPN")
    assert (content["seed"], content["study"], content["config"]) == (0, "", {})
    assert (content["state"], content["iteration"], content["iterations"]) == ("running", 0, None)
    assert (content["reason"], content["buckets"]) == ("", [])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"format": 2}, r"format 2, this fpnprobe reads up to 1: install a later fpnprobe"),
        ({"format": "1"}, "is no run file: expected an object with a format number"),
        ([], "holds a list, expected an object"),
    ],
)
def test_what_is_no_run_file_of_ours_is_refused(content: object, told: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps(content))
    with pytest.raises(FpnProbeError, match=told):
        read_run_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "is not there"),
        ("{", "cannot be read .*Expecting property name"),
        ("", "cannot be read .*Expecting value"),
        ("[" * 100_000, "cannot be read .*recursion"),
    ],
)
def test_what_cannot_be_read_is_told(text: str | None, reason: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / NAME).write_text(text)
    with pytest.raises(FpnProbeError, match=rf"{NAME} .*{reason}"):
        read_run_file(tmp_path)
    assert text is None or read_run(tmp_path).state == "damaged"


def test_a_mark_of_an_editor_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"format": 1, "state": "done"}', encoding="utf-8-sig")
    assert read_run(tmp_path).state == "done"
