"""The README runs: its example prints what it says, its commands and verbs are there."""

import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_two_commands_are_all_the_set_up() -> None:
    main_job, test_job = blocks("bash")
    assert main_job.endswith("&& fpnprobe run-study quickstart --out reports/mine\n")
    assert test_job.endswith("&& pytest -n 2\n")
    assert (ROOT / ".ci" / "run").read_text().count("readme_command ") == 2


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_print_what_is_shown(number: int) -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(blocks("python")[number], "README.md", "exec"), {})
    assert printed.getvalue() in blocks("text")


def test_every_verb_and_study_that_is_named_exists() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "fpnprobe", "--help"], capture_output=True, text=True, check=True
    ).stdout
    section = README.partition("## Verbs")[2].partition("##")[0]
    named = set(re.findall(r"`([a-z][a-z-]+)(?: [a-z|]+)?`", section))
    assert {"doctor", "run-study", "bench"} <= named
    for verb in named:
        assert verb in shown, verb
    for study in re.findall(r"studies/[a-z0-9_]+", README):
        assert (ROOT / study).is_dir(), study
