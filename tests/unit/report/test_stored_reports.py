"""Every report in this checkout, committed or just made, says what its tables say."""

import csv
import functools
import html
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fpnprobe.figures.wording import percent
from fpnprobe.report.build import tables
from fpnprobe.report.compose import compose
from fpnprobe.report.page.content import Report
from fpnprobe.report.page.glossary import WORDS
from fpnprobe.report.sections import claims, interventions
from fpnprobe.report.tables import published
from fpnprobe.report.tables.gradient_shares import first_stage
from fpnprobe.report.tables.read_studies import read
from fpnprobe.report.tables.share_intervals import share_intervals
from fpnprobe.report.tables.stored import Stored
from fpnprobe.scales import COCO_BUCKETS

FOLDERS = sorted(
    page.parent for page in (Path(__file__).parents[3] / "reports").glob("*/report.html")
)

each_report = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@functools.cache
def stored_and_composed(folder: Path) -> tuple[Stored, Report]:
    stored = read([folder])
    report = compose(
        stored, claims.judged([folder], stored.holes), interventions.judged([folder], stored.holes)
    )
    return stored, report


@each_report
def test_tables_have_not_drifted(folder: Path) -> None:
    for name, content in tables(stored_and_composed(folder)[1]):
        committed = (folder / "tables" / f"{name}.csv").read_text(encoding="utf-8")
        assert same(content, committed), f"{name}.csv: run `fpnprobe report reports/{folder.name}`"


def same(content: str, other: str) -> bool:
    """Whether two CSVs hold the same; the last digits of a number may be another processor's."""
    rows, others = (list(csv.reader(text.splitlines())) for text in (content, other))
    return [len(row) for row in rows] == [len(row) for row in others] and all(
        a == b or (a and b and number(a) == pytest.approx(number(b), rel=1e-8, abs=1e-12))
        for row, beside in zip(rows, others, strict=True)
        for a, b in zip(row, beside, strict=True)
    )


def number(cell: str) -> float:
    """A cell as a number; NaN, which equals nothing, for a text."""
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def test_what_counts_as_the_same() -> None:
    assert same("a,b\nx,0.123456789012\n", "a,b\nx,0.123456789013\n")
    for other in ("a,b\nx,0.12345\n", "a,b\ny,0.123456789012\n", "a,b\nx,\n", "a,b\n"):
        assert not same("a,b\nx,0.123456789012\n", other)


@each_report
def test_claims_have_not_drifted(folder: Path) -> None:
    committed = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    found = claims.document(claims.judged([folder], []))
    assert committed["claims"] == found["claims"]


@each_report
def test_the_page_is_whole(folder: Path) -> None:
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert len(html) < (3_000_000 if folder.name == "quickstart" else 5_000_000)
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    for svg in folder.glob("figures/*.svg"):
        assert f'id="{svg.stem}"' in html
    regions = re.findall(r'role="region" aria-label(?:ledby)?="([^"]*)"', html)
    assert regions and len(regions) == len(set(regions)), "each table has a name of its own"


@each_report
def test_no_file_names_a_place_on_the_machine_that_made_it(folder: Path) -> None:
    if not (folder / "README.md").exists():
        pytest.skip("a report that was just made is where it was made, and names its data")
    for file in folder.rglob("*.json"):
        found = re.findall(r'"(?:/|[A-Z]:\\\\)[^"]*', file.read_text(encoding="utf-8"))
        assert not found, f"{file.relative_to(folder)} holds {found[0]}"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"/(?:root|home|Users|tmp)/", page)


def text_of(page: str) -> str:
    """What a reader of the page sees, hover texts too, on one line."""
    page = re.sub(r"<(style|script|template|head)[ >].*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@each_report
def test_no_size_is_printed_without_its_bounds(folder: Path) -> None:
    stored, _ = stored_and_composed(folder)
    text = text_of((folder / "report.html").read_text(encoding="utf-8"))
    for note in (*published.notes().values(), WORDS["AP"]):  # what others print, and the word
        text = text.replace(" ".join(note.split()), "")
    text = re.sub(r"AP_[SML] paper|the paper, whose AP_S rises and whose AP_L falls", "", text)
    bare = [text[at.start() - 60 : at.end() + 20] for at in re.finditer(r"AP_[SML](?! \()", text)]
    if stored.scale_buckets == COCO_BUCKETS:
        assert bare
    else:
        assert not bare


@each_report
def test_the_readme_names_bounds_before_it_speaks_of_sizes(folder: Path) -> None:
    readme = folder / "README.md"
    if not readme.is_file():
        pytest.skip("a report that was just made has no README")
    stored, _ = stored_and_composed(folder)
    lines = readme.read_text(encoding="utf-8").splitlines()
    heads = [line for line in lines if line.startswith("| variant") and "AP_" in line]
    if stored.scale_buckets != COCO_BUCKETS:
        assert heads and not [h for h in heads if re.search(r"AP_[SML](?! \()", h)]
        first = next(line for line in lines if re.search(r"AP_[SML](?! \()", line))
        assert first.startswith("AP_S, AP_M and AP_L are of objects below 24 px")


@each_report
def test_a_share_is_one_number(folder: Path) -> None:
    """Tile, captions, figures and tables say the same share of large objects at C2."""
    stored, report = stored_and_composed(folder)
    if not any((folder / "cells").glob("*/*/ledger.parquet")):
        pytest.skip("trained without a probe")
    base, other = report.numbers[2].detail.partition(", all routes")[0].split(" → ")
    table = share_intervals(stored)
    tap, name = first_stage(table), stored.buckets[-1]
    share = table.set_index(["variant", "tap", "route", "bucket"])["share"]
    at = {v: f"{100 * share[v, tap, 'total', name]:.0f}" for v in (base, other)}
    assert report.numbers[2].value == f"{at[base]} → {at[other]} %"
    figures = {figure.name: figure for figure in report.figures()}
    assert all(f"{variant} {at[variant]} %" in figures["routes"].caption for variant in at)
    with (folder / "tables" / "routes.csv").open(encoding="utf-8") as file:
        stored_rows = list(csv.DictReader(file))
    for row in stored_rows:
        if (row["tap"], row["route"], row["bucket"]) == (tap, "total", name):
            assert f"{100 * float(row['share']):.0f}" == at.get(
                row["variant"], f"{100 * float(row['share']):.0f}"
            )
    ways = figures["figure-2"].table
    ways = ways[(ways["tap"] == tap) & (ways["variant"] == other) & (ways["route"] == "direct")]
    direct = ways[ways["bucket"] == name]["share"].sum()
    assert direct == pytest.approx(share[other, tap, "direct", name], abs=1e-9)
    if len(ways):
        said = percent(direct)
        assert f"and {said} of that is from {name} objects" in figures["figure-2"].caption
        assert report.numbers[2].detail.endswith(f"directly {said}")
    if "kept-shares" in figures:
        for variant in at:
            caption = figures["kept-shares"].caption
            assert re.search(rf"{re.escape(variant)} (\d+ → )?{at[variant]} %", caption), variant


@each_report
def test_claims_are_distinct_measurements(folder: Path) -> None:
    content = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    run = [claim for claim in content["claims"] if claim["verdict"] != "not run"]
    measured = [(c["variant"], c["baseline"], c["metric"], c.get("iou_type")) for c in run]
    assert len(measured) == len(set(measured))
    wanted = {"variants": 24, "coco_mini": 16}.get(folder.name, len(run))
    assert len(run) == wanted


def quoted(text: str) -> Iterator[tuple[str, str, str]]:
    """(name of a CSV, label of the row, number) of the tables that a line before names a CSV for.

    The label is the first cell: the variant, where the CSV has a column of them.
    """
    name = ""
    for line in text.splitlines():
        named = re.findall(r"`tables/([\w-]+)\.csv`", line)
        if named:
            name = named[-1]
        elif line.startswith("|"):
            label, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            for number in re.findall(r"(?<![\w.-])[-+]?\d*\.\d+", " ".join(cells)):
                yield name, label, number


def values(folder: Path, name: str, label: str) -> set[float]:
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    chosen = [row for row in rows if label in row] or rows
    text = " ".join(itertools.chain(*chosen)).replace("\N{MINUS SIGN}", "-")
    return {
        float(number) for number in re.findall(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e-?\d+)?", text)
    }


@each_report
def test_what_its_readme_says_is_in_its_tables(folder: Path) -> None:
    page = folder / "README.md"
    if not page.is_file():
        pytest.skip("this report has no README")
    numbers = list(quoted(page.read_text(encoding="utf-8")))
    assert numbers, "its README quotes no table"
    for name, label, number in numbers:
        near = 0.501 * 10 ** -len(number.partition(".")[2])
        assert any(abs(value - float(number)) <= near for value in values(folder, name, label)), (
            f"{label}: {number} is not in tables/{name}.csv"
        )
