"""The README runs: its example prints what it says, its commands and verbs are there."""

import csv
import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / ".github" / "REFERENCE.md").read_text()
WATCH = (ROOT / ".github" / "WATCH.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 60


def test_links_lead_somewhere() -> None:
    pages = (".github/*.md", "reports/**/README.md", "studies/**/README.md")
    for page in (ROOT / "README.md", *(page for glob in pages for page in ROOT.glob(glob))):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page}: {link}"


def test_the_first_table_is_the_reports() -> None:
    """Three seeds, from the stored report, not from one run."""
    with (ROOT / "reports/variants/tables/figure-3.csv").open(encoding="utf-8") as file:
        stored = {(row["variant"], row["metric"]): row for row in csv.DictReader(file)}
    rows = re.findall(r"^\| ((?:DC5|FPN)[\w-]*) \| (.*) \|$", README, re.MULTILINE)
    assert len(rows) >= 4
    for variant, cells in rows:
        for metric, cell in zip(("AP", "AP_S", "AP_L"), cells.split(" | "), strict=True):
            row = stored[variant, metric]
            wanted = [f"{float(row[name]):.1f}" for name in ("value", "low", "high")]
            assert cell == f"{wanted[0]} [{wanted[1]}, {wanted[2]}]", (variant, metric)


def test_two_commands_are_all_the_set_up() -> None:
    main_job, test_job = blocks("bash")
    assert main_job.endswith("&& fpnprobe run-study quickstart --out reports/mine\n")
    assert test_job.endswith("&& pytest -n 2\n")
    assert (ROOT / ".ci" / "run").read_text().count("readme_command ") == 2


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_print_what_is_shown(number: int) -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(blocks("python", WATCH)[number], "WATCH.md", "exec"), {})
    assert printed.getvalue() in blocks("text", WATCH)


def test_every_verb_and_study_that_is_named_exists() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "fpnprobe", "--help"], capture_output=True, text=True, check=True
    ).stdout
    section = REFERENCE.partition("## Verbs")[2].partition("##")[0]
    named = set(re.findall(r"^\| `([a-z][a-z-]+)(?: [a-z|\\]+)?`", section, re.MULTILINE))
    assert {"doctor", "run-study", "bench"} <= named
    for verb in named:
        assert verb in shown, verb
    for study in re.findall(r"studies/[a-z0-9_]+", README + REFERENCE):
        assert (ROOT / study).is_dir(), study
