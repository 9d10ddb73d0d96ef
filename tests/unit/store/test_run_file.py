"""The file by which a folder is a run: its format is published, and another one is refused."""

import json
import math
from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.store.run_file import NAME, RunFile, describe_run, read_run_file


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


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"format": 2}, r"format 2, this fpnprobe reads up to 1: install a later fpnprobe"),
        ({"format": "1"}, "is no run file: expected an object with a format number"),
        ([], "is no run file"),
    ],
)
def test_what_is_no_run_file_of_ours_is_refused(content: object, told: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps(content))
    with pytest.raises(FpnProbeError, match=told):
        read_run_file(tmp_path)


@pytest.mark.parametrize("text", [None, "{", ""])
def test_what_cannot_be_read_is_told(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / NAME).write_text(text)
    with pytest.raises(FpnProbeError, match=rf"cannot read .*{NAME}: "):
        read_run_file(tmp_path)
