"""What is wrong on a command line is one line; exit codes are 0, 1, 2, 3 or 130."""

import json
import sys

import pytest
import typer

from fpnprobe.cli import main
from fpnprobe.errors import EnvironmentProblem

WRONG = {
    "no such verb": (["nonsense"], "No such command 'nonsense'"),
    "nearly a verb": (["repor", "x"], "Did you mean 'report'?"),
    "no such option": (["report", "--wrong", "x"], "--wrong"),
    "nearly an option": (["doctor", "--jsn"], "--json"),
    "argument missing": (["probe"], "Missing argument 'CONFIG'"),
    "value of another kind": (["run-study", "--jobs", "x", "s"], "--jobs"),
    "value too small": (["run-study", "--jobs", "0", "s"], "--jobs"),
    "option without its value": (["report", "--out"], "--out"),
    "no such bench": (["bench", "zzz"], "No such command 'zzz': known: evaluation, "),
    "nearly a bench": (["bench", "prob"], "No such command 'prob': did you mean probe?"),
}


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["fpnprobe", *arguments])
    with pytest.raises(SystemExit) as stop:
        main.entry()
    return int(stop.value.code or 0)


@pytest.mark.parametrize("name", WRONG)
def test_misuse_is_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, hint = WRONG[name]
    assert run(words, monkeypatch) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("error: fpnprobe")
    assert hint in printed.err
    assert "--help)" in printed.err


def test_misuse_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", "--json"], monkeypatch) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 2
    assert "DIR" in told["error"]


@pytest.mark.parametrize("words", [[], ["bench"], ["data"]])
def test_without_a_verb_the_help_is_printed_once(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words, monkeypatch) == 2
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("Usage:") == 1


ENDS: list[tuple[BaseException, int, str]] = [
    (typer.Exit(1), 1, ""),
    (EnvironmentProblem("no disk\nleft"), 3, "error: no disk left\n"),
    (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on\n"),
]


@pytest.mark.parametrize(("end", "code", "said"), ENDS, ids=lambda value: str(value)[:9])
def test_how_a_verb_may_end(
    end: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raising(*_args: object, **_options: object) -> None:
        raise end

    monkeypatch.setattr("fpnprobe.config.shipped_studies.list_shipped", raising)
    assert run(["studies"], monkeypatch) == code
    assert capsys.readouterr().err.strip("\r") == said


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("fpnprobe.config.shipped_studies.list_shipped", broken)
    monkeypatch.setattr(sys, "argv", ["fpnprobe", "studies"])
    with pytest.raises(ZeroDivisionError):
        main.entry()
